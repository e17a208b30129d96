/** Who the peers of a pod are, from a real issuer beside a real API server: told whole, told on, and to nobody who has no use for it. */
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, afterEach, beforeAll, describe, expect} from '@jest/globals';
import {startIssuing, type Issuing, type TestPod} from '../../test/cluster/issuing.ts';
import {clusterTest} from '../../test/cluster/require.ts';
import type {Role} from '../../test/cluster/role.ts';
import type {Peers} from '../../sources/peers.ts';
import {endpointsOf} from '../../sources/service-table.ts';
import {until} from '../../test/waiting.ts';
import {heardJournal} from './identity/testing.ts';
import {listenToPeers} from './told-peers.ts';

const LONG_MS = 120_000;
const it = clusterTest();
let issuing: Issuing;
let issuer: {role: Role; port: number};
beforeAll(async () => {
  issuing = await startIssuing();
  issuer = await issuing.startIssuer();
}, 180_000);
afterAll(() => issuing?.stop());

const listening: Peers[] = [];
const dirs: string[] = [];
afterEach(() => {
  for (const peers of listening.splice(0)) peers.close();
  for (const dir of dirs.splice(0)) rmSync(dir, {recursive: true});
});

function listen(token: string, port = issuer.port): {peers: Peers; heard: ReturnType<typeof heardJournal>['heard']} {
  const dir = mkdtempSync(join(issuing.cluster.dir, 'peers-'));
  dirs.push(dir);
  writeFileSync(join(dir, 'token'), token);
  const {journal, heard} = heardJournal();
  const access = {host: 'localhost', port, caFile: issuing.caFile, tokenFile: join(dir, 'token')};
  const peers = listenToPeers(access, journal, () => undefined);
  listening.push(peers);
  return {peers, heard};
}

function kubectl(...argv: string[]): void {
  const {status, stderr} = issuing.cluster.kubectl(argv);
  if (status !== 0) throw new Error(stderr);
}
function at(pod: TestPod, ip: string, ...labels: string[]): TestPod {
  if (labels.length > 0) kubectl('label', 'pod', '-n', pod.namespace, pod.name, ...labels);
  const status = {status: {phase: 'Running', podIP: ip, podIPs: [{ip}]}};
  kubectl(
    'patch',
    'pod',
    '-n',
    pod.namespace,
    pod.name,
    '--subresource=status',
    '--type=merge',
    '-p',
    JSON.stringify(status),
  );
  return pod;
}
const uidAt = (peers: Peers, ip: string): string | undefined =>
  peers.known?.find(({ips}) => ips.includes(ip))?.workload.uid;

describe('a pod that captures itself', () => {
  it(
    'is told who has which address and where Services lead, and what changes of it; while nobody tells it, the last word counts',
    async () => {
      const away = await issuing.startIssuer();
      const self = at(issuing.pod('web', 'node-1'), '10.244.0.5', 'sallyport.dev/capture=pod');
      const peer = at(issuing.pod('admin', 'node-2'), '10.244.1.6', 'sallyport.dev/mtls=Strict');
      const {peers, heard} = listen(issuing.token('shop', 'web', self), away.port);
      await until(
        () => uidAt(peers, '10.244.1.6'),
        (uid) => uid === peer.uid,
        {said: () => heard.map(({message}) => message).join('\n')},
      );
      const entry = peers.known!.find(({workload}) => workload.uid === peer.uid)!;
      expect([entry.workload.namespace, entry.workload.serviceAccount, entry.mtls?.mode]).toEqual([
        'shop',
        'admin',
        'Strict',
      ]);

      issuing.create({
        ...{apiVersion: 'v1', kind: 'Service', metadata: {namespace: 'shop', name: 'db'}},
        spec: {ports: [{name: 'sql', port: 5432}], selector: {app: 'db'}},
      });
      issuing.create({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {namespace: 'shop', name: 'db-1', labels: {'kubernetes.io/service-name': 'db'}},
        addressType: 'IPv4',
        endpoints: [{addresses: ['10.244.1.6'], conditions: {ready: true}}],
        ports: [{name: 'sql', port: 15_432, protocol: 'TCP'}],
      });
      const ip = issuing.cluster.kubectl([
        'get',
        'service',
        '-n',
        'shop',
        'db',
        '-o',
        'jsonpath={.spec.clusterIP}',
      ]).stdout;
      await until(
        () => endpointsOf({ip, port: 5432}, peers.services),
        (to) => JSON.stringify(to) === '[{"ip":"10.244.1.6","port":15432}]',
      );

      kubectl('delete', 'pod', '-n', 'shop', peer.name, '--grace-period=0', '--force', '--wait=true');
      await until(
        () => uidAt(peers, '10.244.1.6'),
        (uid) => uid === undefined,
      );
      await away.role.stop();
      await until(
        () => heard.some(({event}) => event === 'mtls.peers'),
        (seen) => seen,
      );
      expect(uidAt(peers, '10.244.0.5')).toBe(self.uid);
    },
    LONG_MS,
  );

  it(
    'alone is told: no other pod, nobody without a token, none of another audience',
    async () => {
      const other = at(issuing.pod('web', 'node-1'), '10.244.0.7');
      const self = at(issuing.pod('web', 'node-1'), '10.244.0.8', 'sallyport.dev/capture=pod');
      const cases: [string, RegExp][] = [
        [issuing.token('shop', 'web', other), /403.*NoSuchPod/],
        [issuing.token('shop', 'web', self, 'somebody-else'), /401.*NotAuthenticated/],
        [issuing.token('shop', 'web', null), /403.*TokenNotBound/],
        ['x', /401.*NotAuthenticated/],
      ];
      for (const [token, says] of cases) {
        const {peers, heard} = listen(token);
        const refusal = await until(
          () => heard.map(({message}) => message).find((message) => says.test(message)),
          (message) => message !== undefined,
          {said: () => heard.map(({message}) => message).join('\n')},
        );
        expect(refusal).not.toContain(token.length > 1 ? token : 'Bearer');
        expect(peers.known).toBeNull();
      }
    },
    LONG_MS,
  );
});
