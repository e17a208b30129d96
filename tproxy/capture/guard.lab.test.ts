/** The guard alone, without the table that it stands behind: what holds while that is gone. */
import {readFileSync} from 'node:fs';
import {afterEach, beforeEach, expect, test} from '@jest/globals';
import {eventually, udpEcho, WEB} from '../../test/lab/capture-rig.ts';
import {createLab, labTests, udpIn, type Lab} from '../../test/lab/index.ts';
import {PORTS, TPROXY_ROUTE_TABLE} from '../../runtime/names.ts';
import {systemCommands} from './commands.ts';
import type {Capture, PlacedMember} from './config.ts';
import {createGuard, type Guard} from './guard.ts';
import {DEFAULT_MARKS} from './marks.ts';

const labTest = labTests(test);
const GUARDED = /counter guarded \{\s*packets (\d+)/;

let lab: Lab;
let guard: Guard;
let lost: number;

const capture = (members: readonly PlacedMember[]): Capture => ({
  config: {
    intercept: 'tproxy',
    capturedPort: PORTS.captured,
    explicitPort: PORTS.explicit,
    closedPorts: [PORTS.admin],
    resolvers: [],
    nodeCidrs: [],
    nat64Prefixes: [],
    podInterfaces: [],
    lockPodAddresses: false,
    meshDestinations: [],
    marks: DEFAULT_MARKS,
    routeTable: TPROXY_ROUTE_TABLE,
    rulePriority: 10,
  },
  members,
  bridges: [],
  podCidrs: [],
});
const placed = (pod: string, mode: 'locked' | 'captured'): PlacedMember[] =>
  lab.pod(pod).ips.map((ip) => ({ip, mode, uid: pod, interface: lab.pod(pod).interface, port: null}));
const list = async (): Promise<string> => (await lab.exec('node', ['nft', '-s', 'list', 'ruleset'])).stdout;
const dropped = async (): Promise<number> =>
  Number(GUARDED.exec((await lab.exec('node', ['nft', 'list', 'ruleset'])).stdout)?.[1]);
const send = async (pod: string, text: string, ip: string): Promise<void> => {
  const udp = await udpIn(lab.pod(pod).path, ip.includes(':') ? '::' : '0.0.0.0', 0);
  await new Promise<void>((resolve) => udp.send(text, 443, ip, () => resolve()));
  udp.close();
};

function commandOf(pid: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return null;
  }
}

beforeEach(async () => {
  lost = 0;
  lab = await createLab({name: 'guard', pods: [{name: 'locked'}, {name: 'audit'}, {name: 'free'}]});
  await lab.internet.addAddress(...Object.values(WEB));
  guard = createGuard(
    systemCommands((start) => lab.inside('node', start)),
    () => lost++,
  );
});
afterEach(async () => {
  guard?.close();
  await lab?.close();
});

labTest.each([{family: 4 as const}, {family: 6 as const}])(
  'what nobody has judged is dropped for a locked pod, and for no other, IPv$family',
  async ({family}) => {
    const echo = await udpEcho(lab.internet.path, WEB[family], 443);
    expect(await guard.follow(capture([...placed('locked', 'locked'), ...placed('audit', 'captured')]))).toBe(true);
    await send('locked', 'locked', WEB[family]);
    await eventually(async () => (await dropped()) > 0);
    await send('audit', 'audit', WEB[family]);
    await send('free', 'free', WEB[family]);
    await eventually(() => echo.seen.length === 2);
    expect(echo.seen.map((line) => line.split(' ')[1]).sort()).toEqual(['audit', 'free']);
    echo.close();
  },
);

labTest('who flushes all rules, or deletes ours, leaves it there', async () => {
  await guard.follow(capture(placed('locked', 'locked')));
  const before = await list();
  expect((await lab.exec('node', ['nft', 'flush', 'ruleset'])).status).toBe(0);
  expect((await lab.exec('node', ['nft', 'delete', 'table', 'inet', 'sallyport_guard'])).status).not.toBe(0);
  expect((await lab.exec('node', ['nft', 'flush', 'set', 'inet', 'sallyport_guard', 'locked4'])).status).not.toBe(0);
  expect(await list()).toBe(before);
});

labTest('a change of members is followed, and a pod that is freed gets out again', async () => {
  const echo = await udpEcho(lab.internet.path, WEB[4], 443);
  await guard.follow(capture(placed('locked', 'locked')));
  expect(await guard.follow(capture(placed('free', 'locked')))).toBe(true);
  await send('free', 'free', WEB[4]);
  await eventually(async () => (await dropped()) > 0);
  await send('locked', 'locked', WEB[4]);
  await eventually(() => echo.seen.length > 0);
  expect(echo.seen).toEqual([`${lab.pod('locked').ip4} locked`]);
  echo.close();
});

labTest('where it is lost, that is said, and the next change brings it back', async () => {
  const members = capture(placed('locked', 'locked'));
  await guard.follow(members);
  const {stdout} = await lab.exec('node', ['ip', 'netns', 'pids', lab.node.name]);
  const nft = stdout.split('\n').find((pid) => pid !== '' && commandOf(pid) === 'nft');
  process.kill(Number(nft), 'SIGKILL');
  await eventually(() => lost === 1);
  expect(await list()).toBe('');
  expect(await guard.follow(members)).toBe(true);
  expect(await list()).toContain('flags owner');
});

labTest('closed, it is gone', async () => {
  await guard.follow(capture(placed('locked', 'locked')));
  guard.close();
  await eventually(async () => (await list()) === '');
  expect(lost).toBe(0);
});

labTest('where nft cannot hold one, it is said and not waited for', async () => {
  const old = createGuard(
    {
      run: () => Promise.reject(new Error('not run')),
      follow: (_, onOutput, onEnd) => {
        const commands = systemCommands((start) => lab.inside('node', start));
        // As a kernel before 5.12 answers.
        return commands.follow(
          ['sh', '-c', 'head -n1 >/dev/null; echo "Error: Could not process rule: Not supported"'],
          onOutput,
          onEnd,
        );
      },
    },
    () => lost++,
  );
  expect(await old.follow(capture(placed('locked', 'locked')))).toBe(false);
  expect(lost).toBe(0);
});
