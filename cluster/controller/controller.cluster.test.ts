/** The controller beside a real API server. */
import {X509Certificate} from 'node:crypto';
import {join} from 'node:path';
import {afterAll, afterEach, beforeAll, describe, expect} from '@jest/globals';
import {startControlPlane, type ControlPlane} from '../../test/cluster/control-plane.ts';
import {freePorts} from '../../test/cluster/ports.ts';
import {clusterTest} from '../../test/cluster/require.ts';
import {startRole, type Role} from '../../test/cluster/role.ts';
import {until as soon} from '../../test/waiting.ts';

const ROOT = join(import.meta.dirname, '../..');
const LONG_MS = 60_000;

let cluster: ControlPlane;
beforeAll(async () => {
  cluster = await startControlPlane();
  expect(cluster.kubectl(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]).status).toBe(0);
  expect(cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']).status).toBe(0);
  expect(cluster.kubectl(['create', 'namespace', 'sallyport']).status).toBe(0);
}, 180_000);
afterAll(() => cluster?.stop());

const running: Role[] = [];
afterEach(async () => {
  for (const role of running.splice(0)) await role.stop();
});

function started(identity: string, admin = '127.0.0.1:0'): Role {
  const role = startRole(['controller', '--kubeconfig', cluster.kubeconfig, '--identity', identity, '--admin', admin]);
  running.push(role);
  return role;
}

const event =
  (name: string, text = '') =>
  (line: {event: string; message: string}) =>
    line.event === name && line.message.includes(text);
const field = (argv: readonly string[], path: string): string =>
  cluster.kubectl(['get', ...argv, '-o', `jsonpath=${path}`]).stdout;
const apply = (object: object): void =>
  expect(cluster.kubectl(['apply', '-f', '-'], JSON.stringify(object))).toMatchObject({status: 0});
const policy = (name: string, rules: object[]): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name, namespace: 'default'},
  spec: {podSelector: {}, rules},
});

clusterTest()(
  'whoever leads tells until when its roots can sign, and nobody else does',
  async () => {
    const ports = (await freePorts(2)) as [number, number];
    const [leader, follower] = ports.map((port, i) => started(`root-${i}`, `127.0.0.1:${port}`)) as [Role, Role];
    const ends = async (port: number): Promise<string[]> => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      return [...text.matchAll(/^sallyport_certificate_end_timestamp_seconds\{certificate="(.+)"\} (.+)$/gm)].map(
        ([, certificate, seconds]) => `${certificate} ${new Date(Number(seconds) * 1000).toUTCString()}`,
      );
    };
    const first = await Promise.race(
      [leader, follower].map(async (role, i) => {
        await role.logged(event('controller.leading'));
        return i;
      }),
    );
    const until = (secret: string): string => {
      const pem = Buffer.from(field(['secret', '-n', 'sallyport', secret], '{.data.root\\.crt}'), 'base64');
      return new Date(new X509Certificate(pem).validTo).toUTCString();
    };
    const told = await soon(
      () => ends(ports[first]!).catch((error: Error) => [error.message]),
      ({length}) => length === 2,
    );
    expect(told.sort()).toEqual([`root ${until('sallyport-ca')}`, `services-root ${until('sallyport-serving-ca')}`]);
    await [leader, follower][1 - first]!.logged(event('controller.running'));
    expect(await ends(ports[1 - first]!)).toEqual([]);
  },
  60_000,
);

describe('trust', () => {
  clusterTest()(
    'the CA is made once and kept in a Secret; the next leader uses the same',
    async () => {
      apply({
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: {name: 'a', labels: {'sallyport.dev/injection': 'enabled'}},
      });
      const root = (): string => field(['secret', '-n', 'sallyport', 'sallyport-ca'], '{.data.root\\.crt}');
      const bundled = (): string => field(['configmap', '-n', 'a', 'sallyport-trust'], '{.data.ca\\.crt}');
      await started('one').logged(event('trust.applied', 'namespace a'));
      const first = root();
      expect(new X509Certificate(Buffer.from(first, 'base64')).subject).toContain('Sallyport');
      expect(Buffer.from(bundled()).toString('base64')).toBe(first);
      await running.shift()!.stop();
      cluster.kubectl(['delete', 'configmap', '-n', 'a', 'sallyport-trust']);
      await started('two').logged(event('trust.applied', 'namespace a'));
      expect(root()).toBe(first);
      expect(Buffer.from(bundled()).toString('base64')).toBe(first);
    },
    LONG_MS,
  );

  clusterTest()(
    'a namespace gets the bundle when it opts in, when a pod was injected, and again when somebody takes it away',
    async () => {
      const role = started('one');
      await role.logged(event('controller.leading'));
      for (const name of ['plain', 'opted', 'podded']) cluster.kubectl(['create', 'namespace', name]);
      cluster.kubectl(['label', 'namespace', 'opted', 'sallyport.dev/injection=enabled']);
      await role.logged(event('trust.applied', 'namespace opted'));
      const injected = {'sallyport.dev/status': '{}'};
      cluster.kubectl(['create', 'serviceaccount', 'default', '-n', 'podded']);
      apply({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {name: 'p', namespace: 'podded', annotations: injected},
        spec: {containers: [{name: 'app', image: 'a'}], automountServiceAccountToken: false},
      });
      await role.logged(event('trust.applied', 'namespace podded'));
      expect(field(['configmap', '-n', 'opted', 'sallyport-trust'], '{.data.bundle\\.crt}')).toContain('# Sallyport');
      expect(field(['configmap', '-n', 'opted', 'sallyport-trust'], '{.binaryData.truststore\\.p12}')).not.toBe('');
      expect(cluster.kubectl(['get', 'configmap', '-n', 'plain', 'sallyport-trust']).status).not.toBe(0);

      const before = role.lines.length;
      cluster.kubectl(['delete', 'configmap', '-n', 'opted', 'sallyport-trust']);
      await role.logged((line) => role.lines.indexOf(line) >= before && event('trust.applied', 'opted')(line));
      expect(field(['configmap', '-n', 'opted', 'sallyport-trust'], '{.data.bundle\\.crt}')).toContain('# Sallyport');
    },
    LONG_MS,
  );

  clusterTest()('the key is nowhere but in the Secret of our namespace', () => {
    const everything = cluster.kubectl(['get', 'configmaps', '-A', '-o', 'yaml']).stdout;
    expect(everything).toContain('BEGIN CERTIFICATE');
    expect(everything).not.toContain('PRIVATE KEY');
  });
});

describe('conditions', () => {
  const condition = (kind: string, name: string, path: string): string =>
    field([kind, name], `{.status.conditions[?(@.type=="Accepted")].${path}}`);

  clusterTest()(
    'say whether a policy is in force, what is wrong with it, and follow its changes',
    async () => {
      const role = started('one');
      apply(policy('good', [{name: 'r', to: {hosts: ['a.test']}}]));
      apply(policy('bad', [{name: 'r', to: {cidrs: ['10.1.2.3/8']}}]));
      await role.logged(event('status.written', 'EgressPolicy default/good: Accepted=True Valid'));
      await role.logged(event('status.written', 'EgressPolicy default/bad: Accepted=False BadCidr'));
      expect(condition('egp', 'bad', 'message')).toMatch(
        /bits set right of its prefix.*Write 10\.0\.0\.0\/8.*spec\.rules\[0\]\.to\.cidrs\[0\]/,
      );
      expect(condition('egp', 'bad', 'observedGeneration')).toBe('1');
      apply(policy('bad', [{name: 'r', to: {cidrs: ['10.0.0.0/8']}}]));
      await role.logged(event('status.written', 'EgressPolicy default/bad: Accepted=True Valid'));
      expect(condition('egp', 'bad', 'observedGeneration')).toBe('2');
    },
    LONG_MS,
  );

  clusterTest()(
    'a proxy that does not exist is told where it is named, and until it does',
    async () => {
      const role = started('one');
      apply(policy('through', [{name: 'r', to: {hosts: ['a.test']}, via: 'absent'}]));
      await role.logged(event('status.written', 'EgressPolicy default/through: Accepted=True AcceptedWithWarnings'));
      expect(condition('egp', 'through', 'message')).toMatch(/absent/);
      apply({
        apiVersion: 'sallyport.dev/v1alpha1',
        kind: 'UpstreamProxy',
        metadata: {name: 'absent'},
        spec: {endpoints: [{url: 'http://10.1.2.3:3128'}]},
      });
      await role.logged(event('status.written', 'EgressPolicy default/through: Accepted=True Valid'));
    },
    LONG_MS,
  );
});

describe('election', () => {
  clusterTest()(
    'one of two leads; when it goes the other does, at once where it gave the lease back',
    async () => {
      const one = started('one');
      await one.logged(event('controller.leading', 'one leads'));
      const two = started('two');
      await two.logged(event('controller.running'));
      expect(field(['lease', '-n', 'sallyport', 'sallyport-controller'], '{.spec.holderIdentity}')).toBe('one');
      expect(two.lines.some(event('controller.leading'))).toBe(false);
      await running.shift()!.stop();
      await two.logged(event('controller.leading', 'two leads'));
      expect(field(['lease', '-n', 'sallyport', 'sallyport-controller'], '{.spec.holderIdentity}')).toBe('two');
    },
    LONG_MS,
  );

  clusterTest()(
    'a leader that is killed is followed when its lease has run out',
    async () => {
      await started('one').logged(event('controller.leading', 'one leads'));
      const two = started('two');
      await running.shift()!.stop('SIGKILL');
      await two.logged(event('controller.leading', 'two leads'));
    },
    LONG_MS,
  );
});
