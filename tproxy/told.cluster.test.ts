/** What a node's agent tells the cluster: what it enforces, so that policies say Enforced, and denials on their pods. */
import {KubeConfig} from '@kubernetes/client-node';
import {afterAll, afterEach, beforeAll, expect} from '@jest/globals';
import {keepStatus} from '../cluster/controller/status-keeper.ts';
import {startControlPlane, type ControlPlane} from '../test/cluster/control-plane.ts';
import {objectsOf, soon} from '../test/cluster/objects.ts';
import {clusterTest} from '../test/cluster/require.ts';
import {clusterNode, type ClusterNode} from '../test/lab/cluster-node.ts';

const LONG_MS = 180_000;
const SITE = '203.0.113.9';
const OTHER_SITE = '203.0.113.77';

let cluster: ControlPlane;
const {done, apply, define} = objectsOf(() => cluster);

beforeAll(async () => {
  cluster = await startControlPlane();
  define();
  done(['create', 'namespace', 'shop']);
  done(['create', 'serviceaccount', 'default', '-n', 'shop']);
}, LONG_MS);
afterAll(() => cluster?.stop());

let node: ClusterNode | null = null;
let keeper: {stop(): void} | null = null;
afterEach(async () => {
  keeper?.stop();
  await node?.close();
}, LONG_MS);

const row = (...argv: readonly string[]): string =>
  cluster
    .kubectl(['get', ...argv, '--no-headers'])
    .stdout.trim()
    .split(/\s+/)
    .slice(0, -1)
    .join(' ');
const policy = (name: string, ip: string, spec: object = {}): string =>
  apply({
    ...{apiVersion: 'sallyport.dev/v1alpha1', kind: 'EgressPolicy', metadata: {name, namespace: 'shop'}},
    spec: {
      ...{podSelector: {matchLabels: {app: name}}, mode: 'Enforce', ...spec},
      rules: [{name: 'web', to: {schemes: ['http'], cidrs: [`${ip}/32`]}}],
    },
  });

clusterTest()(
  'a policy is Enforced when the kernel of the node has its pods and every worker its newest version; who is refused reads why on the pod',
  async () => {
    const config = new KubeConfig();
    config.loadFromFile(cluster.kubeconfig);
    keeper = keepStatus({
      ...{config, clusterDomain: 'cluster.local', timing: {settleMs: 100, graceMs: 3_000, countsMs: 500}},
      ...{onWritten: () => {}, onFailed: () => {}, onTrouble: () => {}},
    });
    node = await clusterNode({cluster, name: 'told', kubeconfig: cluster.kubeconfig, sites: [SITE, OTHER_SITE]});
    await node.startPod({namespace: 'shop', name: 'web', labels: {app: 'web'}});
    await node.startPod({namespace: 'shop', name: 'seen', labels: {app: 'seen'}});
    policy('web', SITE);
    policy('seen', SITE, {mode: 'Audit'});
    // Nobody is there yet.
    await soon(() => row('egp', '-n', 'shop', 'web'), 'web Enforce True False 0/1');
    const agent = await node.startAgent();
    await soon(() => row('egp', '-n', 'shop', 'web'), 'web Enforce True True 1/1');
    await soon(() => row('egp', '-n', 'shop', 'seen'), 'seen Audit True True 1/1');
    // NAME READY LOCKED CAPTURED VERSION SEEN
    expect(row('enode', 'told')).toMatch(/^told true 1 1 \d+\.\d+\.\d+ /);

    expect(await node.curl('web', `http://${OTHER_SITE}/`)).toBe('403');
    expect(await node.curl('seen', `http://${OTHER_SITE}/`)).toBe('200');
    const described = (pod: string) => (): string => done(['describe', 'pod', '-n', 'shop', pod]);
    await soon(
      described('web'),
      /Warning\s+EgressDenied\s.*sallyport\.dev\/tproxy.*203\.0\.113\.77:80 was refused: NoRuleMatched\. .*sallyport explain/,
    );
    await soon(described('seen'), /Normal\s+EgressWouldDeny\s.*203\.0\.113\.77:80 would be refused/);
    const id = /"event":"egress.decision"/;
    expect(agent.journal.some((line) => id.test(JSON.stringify(line)))).toBe(true);

    // A change is not told as enforced before it is: with the policy's new generation the pod gets where it says.
    policy('web', OTHER_SITE);
    const generation = 'jsonpath={.status.conditions[?(@.type=="Enforced")].observedGeneration}';
    await soon(() => done(['get', 'egp', '-n', 'shop', 'web', '-o', generation]), '2');
    await soon(() => row('egp', '-n', 'shop', 'web'), 'web Enforce True True 1/1');
    expect(await node.curl('web', `http://${OTHER_SITE}/`)).toBe('200');
    expect(await node.curl('web', `http://${SITE}/`)).toBe('403');
  },
  LONG_MS,
);
