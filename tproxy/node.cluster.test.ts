/** `sallyport tproxy` as a node's agent: a real API server says who is there, network namespaces are the pods, curl tries. */
import {join} from 'node:path';
import {afterAll, afterEach, beforeAll, expect} from '@jest/globals';
import {startControlPlane, type ControlPlane} from '../test/cluster/control-plane.ts';
import {clusterTest} from '../test/cluster/require.ts';
import {clusterNode, type ClusterNode} from '../test/lab/cluster-node.ts';

const ROOT = join(import.meta.dirname, '..');
const LONG_MS = 120_000;
const SITE = '203.0.113.9';
const OTHER_SITE = '203.0.113.77';
const SITE_URL = `http://${SITE}/`;
const OTHER_URL = `http://${OTHER_SITE}/`;

let cluster: ControlPlane;
const done = (argv: readonly string[], input?: string): void =>
  expect(cluster.kubectl(argv, input)).toMatchObject({status: 0, stderr: expect.not.stringContaining('rror')});
const apply = (object: object): void => done(['apply', '-f', '-'], JSON.stringify(object));
const policyOf = (namespace: string, name: string, ip: string, more: object = {}): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name, namespace},
  spec: {podSelector: {}, rules: [{name: 'web', to: {schemes: ['http'], cidrs: [`${ip}/32`]}}], ...more},
});

let node: ClusterNode | null = null;
let nodes = 0;
async function open(): Promise<ClusterNode> {
  const name = `n${++nodes}`;
  node = await clusterNode({cluster, name, kubeconfig: cluster.kubeconfig, sites: [SITE, OTHER_SITE]});
  return node;
}
/** Asks until the answer is that; the test's own time is the limit. */
async function soon<T>(ask: () => Promise<T>, expected: T): Promise<void> {
  while ((await ask()) !== expected);
}

beforeAll(async () => {
  cluster = await startControlPlane();
  done(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]);
  done(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
  for (const namespace of ['default', 'shop']) {
    cluster.kubectl(['create', 'namespace', namespace]);
    cluster.kubectl(['create', 'serviceaccount', 'default', '-n', namespace]);
  }
}, LONG_MS);
afterEach(async () => {
  await node?.close();
  node = null;
  done(['delete', 'egresspolicies,clusteregresspolicies,upstreamproxies', '--all', '--all-namespaces']);
  done(['delete', 'pods', '--all', '--all-namespaces', '--force', '--grace-period=0']);
}, LONG_MS);
afterAll(() => cluster?.stop());

clusterTest()(
  'a pod that starts gets out where its policy says, and nowhere else',
  async () => {
    const n = await open();
    apply(policyOf('shop', 'p', SITE));
    const agent = await n.startAgent();
    await soon(async () => (await agent.ready()).status, 200);
    await n.startPod({namespace: 'shop', name: 'web'});
    await soon(() => n.curl('web', OTHER_URL), '403');
    expect(await n.curl('web', SITE_URL)).toBe('200');
  },
  LONG_MS,
);
