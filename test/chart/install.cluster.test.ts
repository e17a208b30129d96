/** The chart on a real API server: installed, upgraded, taken away. */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {startControlPlane, type ControlPlane, type Ran} from '../cluster/control-plane.ts';
import {clusterTest} from '../cluster/require.ts';
import {CHART, EVERYTHING, find, helm, isHook, NAMESPACE, rendered, withValues} from './helm.ts';

let cluster: ControlPlane;
beforeAll(async () => {
  cluster = await startControlPlane();
  const {status, stderr} = run('install', EVERYTHING, ['--create-namespace']);
  expect([status, stderr]).toEqual([0, '']);
}, 240_000);
afterAll(() => cluster?.stop());

function run(command: 'install' | 'upgrade', values: object, more: readonly string[] = []) {
  return withValues(values, (file) =>
    helm([command, 'sallyport', CHART, '-n', NAMESPACE, '-f', file, ...more], cluster.kubeconfig),
  );
}

const get = (kind: string, name: string): {status: number; stdout: string} =>
  cluster.kubectl(['get', kind, name, '-n', NAMESPACE, '-o', 'json']);

describe('installed', () => {
  clusterTest('helm')('every object is there, and as it was rendered', () => {
    const objects = rendered(EVERYTHING).filter((object) => !isHook(object));
    expect(objects.length).toBeGreaterThan(30);
    const missing = objects.filter(({kind, metadata}) => get(kind, metadata.name).status !== 0);
    expect(missing.map(({kind, metadata}) => `${kind} ${metadata.name}`)).toEqual([]);
  });

  clusterTest('helm')('a server-side dry run of the same objects warns of nothing', () => {
    const text = helm(['get', 'manifest', 'sallyport', '-n', NAMESPACE], cluster.kubeconfig).stdout;
    const {status, stderr} = cluster.kubectl(
      ['apply', '--dry-run=server', '--server-side', '--force-conflicts', '--validate=strict', '-f', '-'],
      text,
    );
    expect([status, stderr]).toEqual([0, '']);
  });
});

/** A pod as the tests make it; whether the API server takes it, and what it says. */
function made(metadata: {labels?: object; annotations?: object}, namespace: string): Ran {
  // A mirror pod may have no service account.
  const account = metadata.annotations === undefined ? {serviceAccountName: 'default'} : {};
  const pod = {
    ...{apiVersion: 'v1', kind: 'Pod'},
    metadata: {generateName: 'p-', namespace, ...metadata},
    spec: {containers: [{name: 'app', image: 'example/app'}], ...account},
  };
  return cluster.kubectl(['create', '--dry-run=server', '-f', '-'], JSON.stringify(pod));
}

/** A namespace with the account that a controller would make. */
function makeNamespace(name: string, labels: object = {}): void {
  cluster.kubectl(
    ['create', '-f', '-'],
    JSON.stringify({apiVersion: 'v1', kind: 'Namespace', metadata: {name, labels}}),
  );
  cluster.kubectl(['create', 'serviceaccount', 'default', '-n', name]);
}

describe('while nobody answers as the webhook, a pod', () => {
  const asks = {'sallyport.dev/inject': 'true'};
  const mode = {'sallyport.dev/mode': 'tproxy'};
  const mirror = {'kubernetes.io/config.mirror': 'x', 'kubernetes.io/config.source': 'file'};
  beforeAll(() => {
    for (const name of ['plain', NAMESPACE, 'kube-system']) makeNamespace(name);
    makeNamespace('opted', {'sallyport.dev/injection': 'enabled'});
  });

  clusterTest('helm').each<[string, object, string, 'made' | 'refused', string?]>([
    ['that asks for nothing', {}, 'plain', 'made'],
    ['that asks to be injected', {labels: asks}, 'plain', 'refused', 'inject.mutate.sallyport.dev'],
    ['that asks by its mode', {labels: mode}, 'plain', 'refused', 'mode.mutate.sallyport.dev'],
    ['that asks by both is asked about once', {labels: {...asks, ...mode}}, 'plain', 'refused', 'inject.mutate'],
    ['of a namespace that opted in', {}, 'opted', 'refused', 'namespace.mutate.sallyport.dev'],
    ['of our own namespace, whatever it says', {labels: {...asks, ...mode}}, NAMESPACE, 'made'],
    ['of kube-system, whatever it says', {labels: {...asks, ...mode}}, 'kube-system', 'made'],
    [
      'whose author says that it is the copy of a static one',
      {labels: mode, annotations: mirror},
      'plain',
      'refused',
      'mode.mutate',
    ],
  ])('%s', (_title, metadata, namespace, outcome, webhook = '') => {
    const {status, stderr} = made(metadata, namespace);
    expect(stderr).toContain(webhook);
    expect(status === 0 ? 'made' : stderr).toMatch(outcome === 'made' ? /^made$/ : /failed calling webhook/);
  });

  clusterTest('helm')('that a kubelet tells of, since it runs a static one, is made', () => {
    const node = {apiVersion: 'v1', kind: 'Node', metadata: {name: 'n1'}};
    expect(cluster.kubectl(['create', '-f', '-'], JSON.stringify(node)).status).toBe(0);
    const uid = cluster.kubectl(['get', 'node', 'n1', '-o', 'jsonpath={.metadata.uid}']).stdout;
    const owner = {apiVersion: 'v1', kind: 'Node', name: 'n1', uid, controller: true};
    const metadata = {
      name: 'static-n1',
      namespace: 'plain',
      labels: mode,
      annotations: mirror,
      ownerReferences: [owner],
    };
    const spec = {nodeName: 'n1', containers: [{name: 'app', image: 'example/app'}]};
    const pod = {apiVersion: 'v1', kind: 'Pod', metadata, spec};
    const kubelet = cluster.kubeconfigOf('system:node:n1', ['system:nodes']);
    const ran = cluster.kubectl(['create', '-f', '-', '--kubeconfig', kubelet], JSON.stringify(pod));
    expect([ran.status, ran.stderr]).toEqual([0, '']);
  });
});

describe('Pod Security Standards', () => {
  /** A template's pod as its controller would make it. */
  const podOf = (kind: string, name: string): object => {
    const {metadata, spec} = find(rendered(EVERYTHING), kind, name)['spec'].template as {
      metadata: object;
      spec: object;
    };
    return {apiVersion: 'v1', kind: 'Pod', metadata: {...metadata, name}, spec};
  };
  const tried = (pod: object, namespace: string): Ran =>
    cluster.kubectl(['create', '--dry-run=server', '-n', namespace, '-f', '-'], JSON.stringify(pod));
  beforeAll(() => {
    for (const level of ['restricted', 'privileged']) {
      makeNamespace(level, {'pod-security.kubernetes.io/enforce': level});
      for (const role of ['node', 'injector', 'controller', 'extauthz'])
        cluster.kubectl(['create', 'serviceaccount', `sallyport-${role}`, '-n', level]);
    }
  });

  clusterTest('helm').each(['injector', 'controller', 'extauthz'])('%s is let into a restricted namespace', (role) => {
    expect(tried(podOf('Deployment', `sallyport-${role}`), 'restricted')).toMatchObject({status: 0, stderr: ''});
  });

  clusterTest('helm')('helm test’s pod too', () => {
    const {metadata, ...pod} = find(rendered(EVERYTHING), 'Pod', 'sallyport-test');
    cluster.kubectl(['create', 'serviceaccount', 'sallyport-test', '-n', 'restricted']);
    const free = {...pod, metadata: {name: metadata.name}};
    expect(tried(free, 'restricted')).toMatchObject({status: 0, stderr: ''});
  });

  clusterTest('helm')('the agent is not: the node’s network and NET_ADMIN are all that it is refused for', () => {
    const agent = podOf('DaemonSet', 'sallyport-node');
    const {status, stderr} = tried(agent, 'restricted');
    expect(status).toBe(1);
    const reasons = [
      ...stderr.matchAll(
        /(host namespaces|hostPort|unrestricted capabilities|hostPath|restricted volume types|privileged|runAsNonRoot|runAsUser=0|allowPrivilegeEscalation|seccompProfile)/g,
      ),
    ].map(([, what]) => what!);
    expect(new Set(reasons)).toEqual(
      new Set([
        'host namespaces',
        'hostPort',
        'unrestricted capabilities',
        'restricted volume types',
        'runAsNonRoot',
        'runAsUser=0',
        'hostPath',
      ]),
    );
    expect(tried(agent, 'privileged')).toMatchObject({status: 0});
  });

  clusterTest('helm')('it has NET_ADMIN alone, and what filters need only with filters', () => {
    const added = (values: object): unknown =>
      find(rendered(values), 'DaemonSet', 'sallyport-node')['spec'].template.spec.containers[0].securityContext
        .capabilities;
    expect(added({})).toEqual({drop: ['ALL'], add: ['NET_ADMIN']});
    expect(added({node: {filters: {configMap: 'f'}}})).toMatchObject({add: expect.arrayContaining(['SETUID'])});
  });
});

describe('upgraded', () => {
  /** One that the API server takes: its own. */
  let bundle: string;
  beforeAll(() => {
    bundle = readFileSync(join(cluster.dir, 'pki/ca.crt')).toString('base64');
  });
  const bundles = (): string =>
    cluster.kubectl([
      'get',
      'mutatingwebhookconfiguration',
      'sallyport',
      '-o',
      'jsonpath={.webhooks[*].clientConfig.caBundle}',
    ]).stdout;

  clusterTest('helm')('what the controller wrote into caBundle stays, and what has not changed is not written', () => {
    const patch = [0, 1, 2].map((at) => ({op: 'add', path: `/webhooks/${at}/clientConfig/caBundle`, value: bundle}));
    const argv = ['patch', 'mutatingwebhookconfiguration', 'sallyport', '--type=json', '-p', JSON.stringify(patch)];
    expect(cluster.kubectl(argv)).toMatchObject({status: 0});
    const before = versions();
    expect(run('upgrade', EVERYTHING)).toMatchObject({status: 0, stderr: ''});
    expect(versions()).toEqual(before);
    expect(bundles().split(' ')).toEqual([bundle, bundle, bundle]);
  });

  clusterTest('helm')('with other values it follows them, and caBundle stays all the same', () => {
    const values = {...EVERYTHING, injector: {webhook: {timeoutSeconds: 3}, replicas: 3}, extauthz: {enabled: false}};
    expect(run('upgrade', values)).toMatchObject({status: 0, stderr: ''});
    expect(bundles().split(' ')).toEqual([bundle, bundle, bundle]);
    expect(get('mutatingwebhookconfiguration', 'sallyport').stdout).toMatch(/"timeoutSeconds": 3/);
    expect(get('deployment', 'sallyport-extauthz').status).toBe(1);
    expect(get('clusterrole', 'sallyport-extauthz').status).toBe(1);
  });

  const versions = (): string[] =>
    rendered(EVERYTHING)
      .filter((object) => !isHook(object))
      .map(({kind, metadata}) => {
        const {stdout} = cluster.kubectl([
          'get',
          kind,
          metadata.name,
          '-n',
          metadata.namespace ?? NAMESPACE,
          '-o',
          'jsonpath={.metadata.resourceVersion}',
        ]);
        return `${kind} ${metadata.name} ${stdout}`;
      });
});

describe('taken away', () => {
  clusterTest('helm')('it leaves the definitions and what they define, and nothing that holds a pod up', () => {
    const {status, stderr} = helm(['uninstall', 'sallyport', '-n', NAMESPACE, '--wait'], cluster.kubeconfig);
    expect([status, stderr]).toEqual([0, '']);
    const kinds = [
      'all',
      'configmap',
      'mutatingwebhookconfiguration',
      'validatingwebhookconfiguration',
      'validatingadmissionpolicy',
      'clusterrole',
      'clusterrolebinding',
      'role',
      'rolebinding',
      'networkpolicy',
      'poddisruptionbudget',
    ];
    const left = cluster.kubectl([
      'get',
      kinds.join(','),
      '-A',
      '-l',
      'app.kubernetes.io/part-of=sallyport',
      '-o',
      'name',
    ]);
    expect(left.stdout).toBe('');
    expect(cluster.kubectl(['get', 'crd', 'egresspolicies.sallyport.dev']).status).toBe(0);
    for (const namespace of ['plain', 'opted'])
      expect(made({labels: {'sallyport.dev/mode': 'tproxy'}}, namespace)).toMatchObject({status: 0});
  });
});
