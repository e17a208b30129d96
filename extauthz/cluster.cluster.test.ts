/** `sallyport extauthz --kubeconfig` beside a real API server, as a user who may do what samples/kubernetes says and no more. */
import {join} from 'node:path';
import {afterAll, afterEach, beforeAll, describe, expect} from '@jest/globals';
import {startControlPlane, type ControlPlane} from '../test/cluster/control-plane.ts';
import {freePorts} from '../test/cluster/ports.ts';
import {clusterTest} from '../test/cluster/require.ts';
import {startRole, type Role} from '../test/cluster/role.ts';
import {question} from './testing/asking.ts';
import {grpcClient} from './testing/serving.ts';
import {until} from '../test/waiting.ts';

const ROOT = join(import.meta.dirname, '..');
const LONG_MS = 120_000;
const LITERAL = '203.0.113.9';
const OTHER_LITERAL = '203.0.113.77';
/** What the API server takes and we refuse: an IPv4 literal in hexadecimal as a host. */
const BAD_HOSTS = ['0x7f000001'];

let cluster: ControlPlane;
/** Of the service account that the sample binds. */
let kubeconfig: string;
const done = (argv: readonly string[], input?: string): void =>
  expect(cluster.kubectl(argv, input)).toMatchObject({status: 0, stderr: expect.not.stringContaining('rror')});
const apply = (object: object): void => done(['apply', '-f', '-'], JSON.stringify(object));

function addPod(namespace: string, name: string, ip: string): void {
  const spec = {containers: [{name: 'app', image: 'a'}], automountServiceAccountToken: false};
  apply({apiVersion: 'v1', kind: 'Pod', metadata: {name, namespace, labels: {app: name}}, spec});
  const status = {phase: 'Running', podIP: ip, podIPs: [{ip}]};
  patchStatus(namespace, name, status);
}
const patchStatus = (namespace: string, name: string, status: object): void =>
  done([
    ...['patch', 'pod', '-n', namespace, name, '--subresource=status', '--type=merge', '-p'],
    JSON.stringify({status}),
  ]);

const policyOf = (namespace: string | null, name: string, to: object): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: namespace === null ? 'ClusterEgressPolicy' : 'EgressPolicy',
  metadata: namespace === null ? {name} : {name, namespace},
  spec: {podSelector: {}, rules: [{name: 'web', to: {schemes: ['http'], ...to}}]},
});
const allowing = (ip: string): object => ({cidrs: [`${ip}/32`]});

/** Our kinds, and two namespaces that are allowed the same; all of it may be there already. */
function usual(): void {
  done(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]);
  done(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
  for (const namespace of ['shop', 'bank']) apply(policyOf(namespace, 'p', allowing(LITERAL)));
}

beforeAll(async () => {
  cluster = await startControlPlane();
  done(['create', 'namespace', 'sallyport']);
  done(['apply', '-f', join(ROOT, 'samples/kubernetes/extauthz-rbac.yaml')]);
  const account = 'system:serviceaccount:sallyport:sallyport-extauthz';
  const groups = ['system:serviceaccounts', 'system:serviceaccounts:sallyport', 'system:authenticated'];
  kubeconfig = cluster.kubeconfigOf(account, groups);
  for (const namespace of ['shop', 'bank']) {
    done(['create', 'namespace', namespace]);
    done(['create', 'serviceaccount', 'default', '-n', namespace]);
  }
  addPod('shop', 'web', '10.1.0.7');
  addPod('bank', 'teller', '10.1.0.8');
}, LONG_MS);
afterAll(() => cluster?.stop());

interface Asked {
  readonly role: Role;
  readonly admin: string;
  /** The reason that the answer to the pod of this address carries. */
  readonly reason: (source: string, ip?: string) => Promise<unknown>;
  /** The health that gRPC tells; `2`: not serving. */
  readonly health: () => Promise<number>;
  readonly ready: () => Promise<{status: number; body: Ready}>;
  readonly close: () => void;
}
interface Ready {
  readonly ready: boolean;
  readonly policies: {readonly documents: number; readonly lastLoad: string; readonly refusedEverything: string[]};
  readonly cluster: {readonly synced: boolean; readonly away: Readonly<Record<string, string>>};
}
const WEB = '10.1.0.7';
const TELLER = '10.1.0.8';

const running: Asked[] = [];
afterEach(async () => {
  for (const asked of running.splice(0)) {
    asked.close();
    await asked.role.stop();
  }
});

async function started(...flags: string[]): Promise<Asked> {
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  const at = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`];
  const role = startRole(['extauthz', '--kubeconfig', kubeconfig, ...at, ...flags]);
  const client = grpcClient(`127.0.0.1:${port}`);
  const admin = `http://127.0.0.1:${adminPort}`;
  const asked: Asked = {
    ...{role, admin},
    reason: async (source, ip = LITERAL) =>
      (await client.check(question({source, host: ip, ip}))).dynamicMetadata?.reason,
    health: async () => (await client.call('/grpc.health.v1.Health/Check', new Uint8Array())).at(-1)!,
    async ready() {
      const response = await fetch(`${admin}/readyz`);
      return {status: response.status, body: (await response.json()) as Ready};
    },
    close: () => client.close(),
  };
  running.push(asked);
  await role.logged(({event}) => event === 'extauthz.listening');
  return asked;
}

/** Asks until the answer is that. */
async function soon(ask: () => Promise<unknown>, expected: unknown): Promise<void> {
  await until(ask, (answer) => answer === expected, {what: `${String(expected)} of ${ask.toString()}`});
}
const whole = ({ready}: Asked): Promise<void> => soon(async () => (await ready()).status, 200);

describe('before the cluster can be read as a whole', () => {
  clusterTest()(
    'without our kinds everything is refused, and readiness says what is missing; then it is ready',
    async () => {
      const asked = await started();
      await asked.role.logged(({event, message}) => event === 'cluster.away' && message.includes('EgressPolicy'));
      expect(await asked.reason(WEB)).toBe('PolicyNotLoaded');
      expect(await asked.health()).toBe(2);
      const {status, body} = await asked.ready();
      expect([status, body]).toMatchObject([
        503,
        {ready: false, policies: {lastLoad: expect.stringContaining('EgressPolicy')}, cluster: {synced: false}},
      ]);
      done(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]);
      done(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
      await whole(asked);
      expect(await asked.health()).toBe(1);
      expect((await asked.ready()).body).toMatchObject({ready: true, policies: {documents: 0, lastLoad: 'ok'}});
      expect(await asked.reason(WEB)).toBe('NoPolicySelects');
    },
    LONG_MS,
  );
});

describe('policies', () => {
  clusterTest()(
    'are followed; a bad one keeps its good predecessor in force, one without denies its namespace, and no other',
    async () => {
      usual();
      const asked = await started();
      await whole(asked);
      expect(await Promise.all([WEB, TELLER].map((pod) => asked.reason(pod)))).toEqual(['RuleAllowed', 'RuleAllowed']);
      // Changed: what was allowed no longer is.
      apply(policyOf('shop', 'p', allowing(OTHER_LITERAL)));
      await soon(() => asked.reason(WEB), 'NoRuleMatched');
      expect(await asked.reason(WEB, OTHER_LITERAL)).toBe('RuleAllowed');
      // Bad: what was good stays.
      apply(policyOf('shop', 'p', {hosts: BAD_HOSTS}));
      await asked.role.logged(({event, message}) => event === 'policy.finding' && message.includes('0x7f000001'));
      await soon(async () => (await asked.ready()).body.policies.lastLoad.startsWith('failed'), true);
      expect(await asked.reason(WEB, OTHER_LITERAL)).toBe('RuleAllowed');
      expect((await asked.ready()).body).toMatchObject({ready: true, policies: {refusedEverything: []}});
      // Bad from the start, beside it: its whole namespace is refused, the other is not.
      apply(policyOf('shop', 'q', {hosts: BAD_HOSTS}));
      await soon(() => asked.reason(WEB, OTHER_LITERAL), 'PolicyNotLoaded');
      expect(await asked.reason(TELLER)).toBe('RuleAllowed');
      expect((await asked.ready()).body.policies.refusedEverything).toEqual(['the pods of shop']);
      // Whoever starts now has never seen the good predecessor of p.
      done(['delete', 'egresspolicy', '-n', 'shop', 'q']);
      await soon(() => asked.reason(WEB, OTHER_LITERAL), 'RuleAllowed');
      const other = await started('--workers', '2');
      await whole(other);
      expect(await other.reason(WEB, OTHER_LITERAL)).toBe('PolicyNotLoaded');
      expect(await other.reason(TELLER)).toBe('RuleAllowed');
      apply(policyOf('shop', 'p', allowing(LITERAL)));
      for (const one of [asked, other]) await soon(() => one.reason(WEB), 'RuleAllowed');
    },
    LONG_MS,
  );

  clusterTest()(
    'of the cluster: a bad one denies every pod, and so does a bad UpstreamProxy, until it is mended or gone',
    async () => {
      usual();
      const asked = await started();
      await whole(asked);
      expect(await asked.reason(TELLER)).toBe('RuleAllowed');
      apply(policyOf(null, 'all', {hosts: BAD_HOSTS}));
      for (const pod of [WEB, TELLER]) await soon(() => asked.reason(pod), 'PolicyNotLoaded');
      apply(policyOf(null, 'all', allowing(OTHER_LITERAL)));
      await soon(() => asked.reason(TELLER), 'RuleAllowed');
      expect(await asked.reason(TELLER, OTHER_LITERAL)).toBe('RuleAllowed');
      done(['delete', 'clusteregresspolicy', 'all']);
      await soon(() => asked.reason(TELLER, OTHER_LITERAL), 'NoRuleMatched');
      const proxy = {endpoints: [{url: 'http://10.1.2.3:3128'}], hosts: BAD_HOSTS};
      apply({apiVersion: 'sallyport.dev/v1alpha1', kind: 'UpstreamProxy', metadata: {name: 'corp'}, spec: proxy});
      await soon(() => asked.reason(TELLER), 'PolicyNotLoaded');
      done(['delete', 'upstreamproxy', 'corp']);
      await soon(() => asked.reason(TELLER), 'RuleAllowed');
    },
    LONG_MS,
  );
});

clusterTest()(
  'pods come with their address, and one that has ended is nobody; its address may be another’s',
  async () => {
    usual();
    const asked = await started();
    await whole(asked);
    expect(await asked.reason('10.1.0.9')).toBe('UnknownWorkload');
    addPod('bank', 'guard', '10.1.0.9');
    await soon(() => asked.reason('10.1.0.9'), 'RuleAllowed');
    patchStatus('bank', 'guard', {phase: 'Succeeded'});
    await soon(() => asked.reason('10.1.0.9'), 'UnknownWorkload');
    addPod('shop', 'heir', '10.1.0.9');
    apply(policyOf('shop', 'p', allowing(OTHER_LITERAL)));
    await soon(() => asked.reason('10.1.0.9', OTHER_LITERAL), 'RuleAllowed');
    expect(await asked.reason('10.1.0.9')).toBe('NoRuleMatched');
    done(['delete', 'pod', '-n', 'shop', 'heir', '--force', '--grace-period=0']);
    await soon(() => asked.reason('10.1.0.9'), 'UnknownWorkload');
  },
  LONG_MS,
);

clusterTest()(
  'while the API server is away the last state stays, ready and said; whoever starts then refuses everything; afterwards changes are followed',
  async () => {
    usual();
    const asked = await started();
    await whole(asked);
    expect(await asked.reason(TELLER)).toBe('RuleAllowed');
    await cluster.stopApiServer();
    let late: Asked;
    try {
      await asked.role.logged(({event, message}) => event === 'cluster.away' && message.includes('last state stays'));
      expect(await asked.reason(TELLER)).toBe('RuleAllowed');
      const {status, body} = await asked.ready();
      expect([status, Object.keys(body.cluster.away).length > 0]).toEqual([200, true]);
      late = await started();
      expect(await late.reason(TELLER)).toBe('PolicyNotLoaded');
      expect((await late.ready()).status).toBe(503);
    } finally {
      await cluster.startApiServer();
    }
    await asked.role.logged(({event}) => event === 'cluster.back');
    expect((await asked.ready()).body.cluster.away).toEqual({});
    apply(policyOf('bank', 'p', allowing(OTHER_LITERAL)));
    for (const one of [asked, late]) await soon(() => one.reason(TELLER), 'NoRuleMatched');
  },
  LONG_MS,
);

clusterTest()(
  'the sample’s role is enough, and gives nothing else',
  () => {
    usual();
    const may = (verb: string, resource: string): boolean =>
      cluster.kubectl([
        ...['auth', 'can-i', verb, resource, '--all-namespaces'],
        ...['--as', 'system:serviceaccount:sallyport:sallyport-extauthz'],
      ]).stdout === 'yes\n';
    const kinds = ['egresspolicies', 'clusteregresspolicies', 'upstreamproxies'].map((kind) => `${kind}.sallyport.dev`);
    for (const resource of ['pods', 'namespaces', ...kinds])
      expect([resource, may('watch', resource)]).toEqual([resource, true]);
    for (const resource of ['secrets', 'configmaps'])
      expect([resource, may('list', resource)]).toEqual([resource, false]);
    for (const verb of ['create', 'update', 'patch', 'delete', 'get'])
      expect([verb, may(verb, 'egresspolicies.sallyport.dev')]).toEqual([verb, false]);
  },
  LONG_MS,
);
