/** What `helm test` runs in its pod, run in a captured pod and in one that is not, with the capabilities that the chart gives the agent. */
import {createServer} from 'node:http';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {clusterTest} from '../cluster/require.ts';
import {hasLabPrivileges, labTests} from '../lab/privileges.ts';
import {proxiedLab, type ProxiedLab} from '../lab/proxied.ts';
import {listenIn} from '../lab/sockets.ts';
import {find, rendered, type Rendered} from './helm.ts';

const LONG_MS = 120_000;
/** The program's own. */
const ADDRESS = '198.51.100.7';
const enforcementTest = labTests(clusterTest('helm'));

let world: ProxiedLab | null = null;
let program: readonly string[];
beforeAll(async () => {
  if (!hasLabPrivileges().ok) return;
  const objects = rendered();
  const {command, args} = find(objects, 'Pod', 'sallyport-test')['spec'].containers[0] as Record<string, string[]>;
  expect(command).toEqual(['node', '-e']);
  program = [process.execPath, '-e', ...args!];
  const policy = find(objects, 'EgressPolicy', 'sallyport-test');
  const {add} = find(objects, 'DaemonSet', 'sallyport-node')['spec'].template.spec.containers[0].securityContext
    .capabilities as {add: string[]};
  const kept = ['-all', ...add.map((name) => `+${name.toLowerCase()}`)].join(',');
  world = await proxiedLab({
    name: 'helmtest',
    policies: [{...policy, metadata: {name: policy.metadata.name, namespace: 'default'}} satisfies Rendered],
    under: ['setpriv', `--bounding-set=${kept}`, '--inh-caps=-all', '--no-new-privs', '--'],
  });
  await world.seen(({event}) => event === 'tproxy.listening');
}, LONG_MS);
afterAll(() => world?.close(), LONG_MS);

const run = (pod: 'app' | 'free') =>
  world!.lab.exec(pod, program, {env: {...world!.trust, TRIES: '1'}, timeoutMs: LONG_MS});

describe('helm test', () => {
  enforcementTest(
    'passes in a pod that is captured, by an agent that has NET_ADMIN alone',
    async () => {
      const {status, stdout} = await run('app');
      expect(stdout).toMatch(/^http:.*418.*\nhttps:.*418.*\nenforced\n$/);
      expect(status).toBe(0);
    },
    LONG_MS,
  );

  enforcementTest(
    'fails in a pod that is not, where nobody answers',
    async () => {
      const {status, stdout} = await run('free');
      expect([status, stdout]).toEqual([1, expect.stringContaining('NOT ENFORCED')]);
    },
    LONG_MS,
  );

  enforcementTest(
    'and where somebody else does, be it with the same status',
    async () => {
      const site = createServer((_request, response) => response.writeHead(418).end('a teapot'));
      await world!.lab.internet.addAddress(ADDRESS);
      await listenIn(world!.lab.internet.path, site, ADDRESS, 80);
      const {status, stdout} = await run('free');
      site.close();
      expect([status, stdout]).toEqual([1, expect.stringMatching(/418.*a teapot[\s\S]*NOT ENFORCED/)]);
    },
    LONG_MS,
  );
});
