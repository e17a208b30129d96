/** What the status of policies says beside a real API server, with agents that report as the real ones do. */
import {KubeConfig} from '@kubernetes/client-node';
import {afterAll, afterEach, beforeAll, describe, expect} from '@jest/globals';
import {startControlPlane, type ControlPlane} from '../../test/cluster/control-plane.ts';
import {objectsOf, soon} from '../../test/cluster/objects.ts';
import {clusterTest} from '../../test/cluster/require.ts';
import type {NodeReport} from '../node-report/report.ts';
import {startNodeReport, type NodeReporter} from '../node-report/writer.ts';
import {keepMeshStatus} from './mesh-status.ts';
import {keepStatus} from './status-keeper.ts';
import {reportWith} from './testing.ts';

const LONG_MS = 120_000;
/** Long enough for an agent of the test to write, short enough to wait for. */
const TIMING = {settleMs: 50, graceMs: 500, countsMs: 100};

let cluster: ControlPlane;
const config = new KubeConfig();
const {done, apply, define} = objectsOf(() => cluster);

beforeAll(async () => {
  cluster = await startControlPlane();
  config.loadFromFile(cluster.kubeconfig);
  define();
}, 180_000);
afterAll(() => cluster?.stop());

const running: {stop(): void}[] = [];
afterEach(() => {
  for (const one of running.splice(0)) one.stop();
});

/** A keeper that leads; what it wrote, as `EgressPolicy a/p: Enforced=True AllPodsCaptured`. */
function leading(): string[] {
  const written: string[] = [];
  const keeper = keepStatus({
    ...{config, clusterDomain: 'cluster.local', timing: TIMING},
    onWritten: (object, {type, status, reason}) => written.push(`${object}: ${type}=${status} ${reason}`),
    onFailed: (object, error) => written.push(`${object} failed: ${String(error)}`),
    onTrouble: () => {},
  });
  running.push(keeper);
  return written;
}

/** The agent of a node; what it holds is changed by `say`. */
function agent(
  node: string,
  first: Partial<NodeReport>,
): {readonly say: (next: Partial<NodeReport>) => void; reporter: NodeReporter} {
  let report = reportWith({bootId: `boot-${node}`, ...first});
  const reporter = startNodeReport({
    ...{config, node, look: () => report, timing: {settleMs: 10, againMs: 10, heartbeatMs: LONG_MS, lookMs: LONG_MS}},
    onTrouble: (message) => expect(message).toBe(''),
  });
  running.push(reporter);
  const say = (next: Partial<NodeReport>): void => {
    report = {...report, ...next};
    reporter.changed();
  };
  return {say, reporter};
}

let namespace = '';
let count = 0;
/** A namespace of the test's own, with the account that pods need. */
function ownNamespace(): void {
  namespace = `n${++count}`;
  done(['create', 'namespace', namespace]);
  done(['create', 'serviceaccount', 'default', '-n', namespace]);
}
/** Two nodes of the test's own. */
function ownNodes(): [string, string] {
  const names = [`one-${namespace}`, `two-${namespace}`] as [string, string];
  for (const name of names) {
    apply({apiVersion: 'v1', kind: 'Node', metadata: {name}});
    const status = JSON.stringify({status: {nodeInfo: nodeInfo(name)}});
    done(['patch', 'node', name, '--subresource=status', '--type=merge', '-p', status]);
  }
  return names;
}
const nodeInfo = (name: string): object => ({
  ...{bootID: `boot-${name}`, machineID: 'm', systemUUID: 's', kernelVersion: 'k', osImage: 'o'},
  ...{containerRuntimeVersion: 'c', kubeletVersion: 'v1.34.2', kubeProxyVersion: '', operatingSystem: 'linux'},
  architecture: 'amd64',
});
/** A pod that runs; its UID. */
function pod(name: string, node: string, spec: object = {}): string {
  const containers = [{name: 'app', image: 'a'}];
  const whole = {containers, nodeName: node, automountServiceAccountToken: false, ...spec};
  apply({apiVersion: 'v1', kind: 'Pod', metadata: {name, namespace, labels: {app: name}}, spec: whole});
  const ip = `10.9.${count}.${name.length}`;
  const status = JSON.stringify({status: {phase: 'Running', podIP: ip, podIPs: [{ip}]}});
  done(['patch', 'pod', '-n', namespace, name, '--subresource=status', '--type=merge', '-p', status]);
  return done(['get', 'pod', '-n', namespace, name, '-o', 'jsonpath={.metadata.uid}']);
}
function policy(name: string, spec: object = {}): NodeReport['policies'][number] {
  const rules = [{name: 'r', to: {hosts: ['a.test']}}];
  apply({
    ...{apiVersion: 'sallyport.dev/v1alpha1', kind: 'EgressPolicy', metadata: {name, namespace}},
    spec: {podSelector: {}, rules, ...spec},
  });
  const [uid, generation] = done([
    'get',
    'egp',
    '-n',
    namespace,
    name,
    '-o',
    'jsonpath={.metadata.uid} {.metadata.generation}',
  ]).split(' ');
  return {kind: 'EgressPolicy', namespace, name, uid: uid!, generation: Number(generation)};
}
const condition = (type: string, name: string, what = '["status","reason"]'): string => {
  const object = JSON.parse(done(['get', 'egp', '-n', namespace, name, '-o', 'json'])) as {
    status?: {conditions?: {type: string}[]};
  };
  const found = object.status?.conditions?.find((one) => one.type === type) as Record<string, unknown> | undefined;
  return (JSON.parse(what) as string[]).map((key) => String(found?.[key])).join(' ');
};
const enforced = (name: string) => (): string => condition('Enforced', name);
const message = (name: string): string => condition('Enforced', name, '["message"]');
/** The line of `kubectl get`, without its age. */
const row = (name: string): string[] =>
  done(['get', 'egresspolicies', '-n', namespace, name, '--no-headers']).trim().split(/\s+/).slice(0, -1);

describe('Enforced', () => {
  clusterTest()(
    'is False while pods are not held, names them and why, and is True when the agents of their nodes hold them all',
    async () => {
      ownNamespace();
      const [one, two] = ownNodes();
      const uids = [pod('web', one), pod('worker', two)] as const;
      leading();
      const current = policy('p', {mode: 'Enforce'});
      await soon(enforced('p'), 'False PodsNotCaptured');
      expect(message('p')).toBe(
        `2 of 2 pods are not held to it: ${namespace}/web, ${namespace}/worker (no agent on ${one}, ${two})`,
      );
      expect(row('p')).toEqual(['p', 'Enforce', 'True', 'False', '0/2']);
      agent(one, {policies: [current], locked: [uids[0]]});
      const second = agent(two, {});
      await soon(() => message('p'), new RegExp(`^1 of 2 .*${namespace}/worker \\(not captured on ${two}`));
      second.say({policies: [current], locked: [uids[1]]});
      await soon(enforced('p'), 'True AllPodsCaptured');
      expect(row('p')).toEqual(['p', 'Enforce', 'True', 'True', '2/2']);
      // A pod of the same name is another pod.
      done(['delete', 'pod', '-n', namespace, 'web', '--force', '--grace-period=0']);
      pod('web', one);
      await soon(enforced('p'), 'False PodsNotCaptured');
      expect(message('p')).toContain('/web (not captured');
      // An agent that ends says nothing more; one whose node is gone is forgotten.
      second.reporter.stop();
      done(['delete', 'node', two]);
      await soon(() => cluster.kubectl(['get', 'enode', two]).stderr, /NotFound/);
      await soon(() => message('p'), new RegExp(`worker \\(no agent on ${two}`));
    },
    LONG_MS,
  );

  clusterTest()(
    'follows a change of the policy: True again, for the new generation, when the agent has it in force',
    async () => {
      ownNamespace();
      const [one] = ownNodes();
      const uid = pod('web', one);
      const first = policy('p');
      const {say} = agent(one, {policies: [first], locked: [uid]});
      leading();
      await soon(enforced('p'), 'True AllPodsCaptured');
      const next = policy('p', {rules: [{name: 'r', to: {hosts: ['b.test']}}]});
      expect(next.generation).toBe(2);
      await soon(() => message('p'), new RegExp(`the agent on ${one} has another version of it`));
      say({policies: [next]});
      await soon(enforced('p'), 'True AllPodsCaptured');
      expect(condition('Enforced', 'p', '["observedGeneration"]')).toBe('2');
      expect(done(['wait', '--for=condition=Enforced', '--timeout=10s', '-n', namespace, 'egp/p'])).toContain(
        'condition met',
      );
    },
    LONG_MS,
  );

  clusterTest()(
    'is not claimed of what cannot be seen: another boot, an agent that is silent or not ready, a sidecar, the network of the node',
    async () => {
      ownNamespace();
      const [one, two] = ownNodes();
      const uid = pod('web', one);
      const current = policy('p', {podSelector: {matchLabels: {app: 'web'}}});
      const {say} = agent(one, {policies: [current], locked: [uid], bootId: 'before'});
      leading();
      await soon(() => message('p'), new RegExp(`has not begun since ${one} was started anew`));
      say({bootId: `boot-${one}`, ready: false});
      await soon(() => message('p'), /is not ready/);
      say({ready: true});
      await soon(enforced('p'), 'True AllPodsCaptured');

      pod('sidecar', two, {
        containers: [
          {name: 'app', image: 'a'},
          {name: 'istio-proxy', image: 'p'},
        ],
      });
      policy('q', {podSelector: {matchLabels: {app: 'sidecar'}}});
      await soon(enforced('q'), 'Unknown MeshNotSeen');
      pod('host', two, {hostNetwork: true});
      policy('h', {podSelector: {matchLabels: {app: 'host'}}});
      await soon(() => message('h'), /on the network of the node/);
      policy('nobody', {podSelector: {matchLabels: {app: 'nobody'}}});
      await soon(enforced('nobody'), 'True NoPods');
    },
    LONG_MS,
  );

  clusterTest()(
    'is Unknown where an agent was last heard of minutes ago, and true again with its next word',
    async () => {
      ownNamespace();
      const [one] = ownNodes();
      const uid = pod('web', one);
      const current = policy('p');
      const report = {version: '1', bootID: `boot-${one}`, ready: true, policies: [current], locked: [uid]};
      const status = {...report, heartbeatTime: '2026-01-01T00:00:00Z'};
      apply({apiVersion: 'sallyport.dev/v1alpha1', kind: 'EgressNode', metadata: {name: one}});
      done(['patch', 'enode', one, '--subresource=status', '--type=merge', '-p', JSON.stringify({status})]);
      leading();
      await soon(enforced('p'), 'Unknown NodeSilent');
      agent(one, {policies: [current], locked: [uid]});
      await soon(enforced('p'), 'True AllPodsCaptured');
    },
    LONG_MS,
  );

  clusterTest()(
    'is False of what could not be loaded, whatever the agents hold',
    async () => {
      ownNamespace();
      leading();
      // What the API server takes and we refuse: an IPv4 literal in hexadecimal.
      policy('bad', {rules: [{name: 'r', to: {hosts: ['0x7f000001']}}]});
      await soon(enforced('bad'), 'False NotAccepted');
      expect(row('bad').slice(0, 3)).toEqual(['bad', 'False', 'False']);
    },
    LONG_MS,
  );
});

describe('a status is written only where it changes', () => {
  clusterTest()(
    'the next leader writes nothing that is there; what somebody else put there is set right',
    async () => {
      ownNamespace();
      const [one] = ownNodes();
      const uid = pod('web', one);
      agent(one, {policies: [policy('p')], locked: [uid]});
      leading();
      await soon(enforced('p'), 'True AllPodsCaptured');
      running.pop()!.stop();
      const version = (): string =>
        done(['get', 'egp', '-n', namespace, 'p', '-o', 'jsonpath={.metadata.resourceVersion}']);
      const before = version();
      const written = leading();
      policy('later', {podSelector: {matchLabels: {app: 'nobody'}}});
      await soon(enforced('later'), 'True NoPods');
      expect(version()).toBe(before);
      expect(written.filter((line) => line.includes(`${namespace}/p:`))).toEqual([]);
      const status = JSON.stringify({
        status: {pods: {selected: 9, enforced: 9, mesh: 0, summary: '9/9'}, conditions: []},
      });
      done(['patch', 'egp', '-n', namespace, 'p', '--subresource=status', '--type=merge', '-p', status]);
      await soon(enforced('p'), 'True AllPodsCaptured');
      expect(row('p').at(-1)).toBe('1/1');
    },
    LONG_MS,
  );
});

describe('a MeshEgress', () => {
  clusterTest()(
    'is told what no schema can say of it, and what became of that',
    async () => {
      const mesh = (...namespaces: string[]): void =>
        void apply({
          ...{apiVersion: 'sallyport.dev/v1alpha1', kind: 'MeshEgress', metadata: {name: 'mesh'}},
          spec: {enforcement: namespaces.map((namespace) => ({at: 'Sidecar', namespace}))},
        });
      const columns = (): string =>
        done(['get', 'mesheg', 'mesh', '--no-headers', '-o', 'wide'])
          .trim()
          .split(/\s+/)
          .filter((_, i) => i !== 2)
          .join(' ');
      mesh('shop', 'shop');
      const written: string[] = [];
      running.push(
        keepMeshStatus({
          config,
          onWritten: (object, {type, status, reason}) => written.push(`${object}: ${type}=${status} ${reason}`),
          onFailed: (object, error) => written.push(`${object} failed: ${String(error)}`),
          onTrouble: () => {},
        }),
      );
      await soon(columns, 'mesh False OverlappingScope');
      mesh('shop', 'bank');
      await soon(columns, 'mesh True Valid');
      expect(done(['get', 'mesheg', 'mesh', '-o', 'jsonpath={.status.conditions[0].observedGeneration}'])).toBe('2');
      expect(written).toEqual([
        'MeshEgress mesh: Accepted=False OverlappingScope',
        'MeshEgress mesh: Accepted=True Valid',
      ]);
    },
    LONG_MS,
  );
});

describe('Resolved', () => {
  clusterTest()(
    'says of an UpstreamProxy what the agents did not find',
    async () => {
      ownNamespace();
      const [one] = ownNodes();
      const name = `corp-${namespace}`;
      const spec = {endpoints: [{url: 'http://10.1.2.3:3128'}], auth: {secretRef: {name: 's', namespace: 'default'}}};
      apply({apiVersion: 'sallyport.dev/v1alpha1', kind: 'UpstreamProxy', metadata: {name}, spec});
      const {say} = agent(one, {missingRefs: [{proxy: name, message: 'no Secret default/s'}]});
      leading();
      const columns = (): string =>
        done(['get', 'upx', name, '--no-headers']).trim().split(/\s+/).slice(0, 4).join(' ');
      await soon(columns, `${name} http://10.1.2.3:3128 True False`);
      const path = 'jsonpath={.status.conditions[?(@.type=="Resolved")].message}';
      expect(done(['get', 'upx', name, '-o', path])).toBe(`no Secret default/s (on ${one})`);
      say({missingRefs: []});
      await soon(columns, `${name} http://10.1.2.3:3128 True True`);
    },
    LONG_MS,
  );
});
