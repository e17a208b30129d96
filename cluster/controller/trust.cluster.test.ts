/** Keys, certificates and bundles beside a real API server, by a controller that may do what docs/TRUST.md says and nothing else. */
import {X509Certificate} from 'node:crypto';
import {mkdtempSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {connect} from 'node:tls';
import {KubeConfig} from '@kubernetes/client-node';
import {afterAll, afterEach, beforeAll, describe, expect} from '@jest/globals';
import {parse} from 'yaml';
import {certificatePem, makeRoot, newKey} from '../../pki/index.ts';
import {kubeconfigOfToken} from '../../test/cluster/bound-token.ts';
import {startControlPlane, type ControlPlane} from '../../test/cluster/control-plane.ts';
import {freePorts} from '../../test/cluster/ports.ts';
import {clusterTest} from '../../test/cluster/require.ts';
import {startRole, type LogLine, type Role} from '../../test/cluster/role.ts';
import {inject} from '../../injector/inject.ts';
import {readInstallation} from '../../injector/settings.ts';
import {bundleOf} from './trust.ts';
import {keepTrust} from './trust-keeper.ts';

const ROOT = join(import.meta.dirname, '../..');
const LONG_MS = 120_000;
const OURS = 'sallyport';

let cluster: ControlPlane;
let kubeconfig: string;
beforeAll(async () => {
  cluster = await startControlPlane();
  kubeconfig = kubeconfigOfToken(cluster, {namespace: OURS, serviceAccount: 'controller', pod: null});
  apply(...roles());
}, 180_000);
afterAll(() => cluster?.stop());

const running: Role[] = [];
afterEach(async () => {
  for (const role of running.splice(0)) await role.stop();
});

/** As docs/TRUST.md has it. */
function roles(): object[] {
  const rbac = 'rbac.authorization.k8s.io';
  const rule = (group: string, resources: string[], verbs: string[], names?: string[]): object => ({
    ...{apiGroups: [group], resources, verbs},
    ...(names === undefined ? {} : {resourceNames: names}),
  });
  const secrets = ['sallyport-ca', 'sallyport-serving-ca', 'sallyport-injector-tls'];
  const watch = ['get', 'list', 'watch'];
  const here = [
    rule('', ['secrets'], ['create']),
    rule('', ['secrets'], ['get', 'update'], secrets),
    rule('coordination.k8s.io', ['leases'], ['create']),
    rule('coordination.k8s.io', ['leases'], ['get', 'update'], ['sallyport-controller']),
  ];
  const everywhere = [
    rule('', ['namespaces', 'pods'], watch),
    rule('', ['configmaps'], ['create']),
    rule('', ['configmaps'], [...watch, 'patch', 'delete'], ['sallyport-trust']),
    rule('certificates.k8s.io', ['certificatesigningrequests'], watch),
    rule(
      'certificates.k8s.io',
      ['certificatesigningrequests/approval', 'certificatesigningrequests/status'],
      ['update'],
    ),
    rule('certificates.k8s.io', ['signers'], ['approve', 'sign'], ['sallyport.dev/node-ca']),
    rule(
      'admissionregistration.k8s.io',
      ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'],
      ['get', 'patch'],
      ['sallyport'],
    ),
  ];
  const subjects = [{kind: 'ServiceAccount', name: 'controller', namespace: OURS}];
  const of = (kind: string, rules: object[]): object[] => {
    const at = kind === 'Role' ? {namespace: OURS} : {};
    const roleRef = {apiGroup: rbac, kind, name: 'controller'};
    return [
      {apiVersion: `${rbac}/v1`, kind, metadata: {name: 'controller', ...at}, rules},
      {apiVersion: `${rbac}/v1`, kind: `${kind}Binding`, metadata: {name: 'controller', ...at}, roleRef, subjects},
    ];
  };
  return [...of('Role', here), ...of('ClusterRole', everywhere)];
}

function apply(...objects: object[]): void {
  const list = {apiVersion: 'v1', kind: 'List', items: objects};
  expect(cluster.kubectl(['apply', '-f', '-'], JSON.stringify(list))).toMatchObject({status: 0});
}

function controller(...flags: string[]): Role {
  const role = startRole([
    ...['controller', '--kubeconfig', kubeconfig, '--identity', 'one', '--admin', '127.0.0.1:0', ...flags],
  ]);
  running.push(role);
  return role;
}
const stopped = async (): Promise<void> => void (await running.shift()!.stop());

const event =
  (name: string, text = '') =>
  (line: LogLine): boolean =>
    line.event === name && line.message.includes(text);
const field = (argv: readonly string[], path: string): string =>
  cluster.kubectl(['get', ...argv, '-o', `jsonpath=${path}`]).stdout;
const secret = (name: string, key: string): string =>
  Buffer.from(field(['secret', '-n', OURS, name], `{.data.${key.replaceAll('.', '\\.')}}`), 'base64').toString('utf8');
const bundle = (namespace: string, key = 'ca.crt'): string =>
  field(['configmap', '-n', namespace, 'sallyport-trust'], `{.data.${key.replaceAll('.', '\\.')}}`);
const roots = (pem: string): number => pem.split('BEGIN CERTIFICATE').length - 1;
const namespace = (name: string, injection = true): object => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: {name, labels: injection ? {'sallyport.dev/injection': 'enabled'} : {}},
});

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + LONG_MS - 10_000; !holds();) {
    if (Date.now() > deadline) throw new Error(`${what}: it did not come to it`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

describe('the root', () => {
  clusterTest()(
    'is rotated on demand: old and new are in every bundle before the new one signs, and the old one goes after its children',
    async () => {
      apply(namespace('a'));
      // It would wait for an hour; the second one's word is another.
      const first = controller('--root-publish', '1h', '--node-ca-life', '10s');
      await first.logged(event('trust.applied', 'namespace a'));
      const before = secret('sallyport-ca', 'root.crt');
      expect([bundle('a'), roots(bundle(OURS))]).toEqual([before, 1]);
      cluster.kubectl(['annotate', 'secret', '-n', OURS, 'sallyport-ca', 'sallyport.dev/rotate=now']);
      await until(() => roots(bundle('a')) === 2, 'both in the bundle');
      expect(secret('sallyport-ca', 'root.crt')).toBe(before);
      const next = secret('sallyport-ca', 'next.crt');
      expect(bundle('a')).toBe(before + next);
      // Whoever leads goes on with it.
      await stopped();
      const second = controller('--root-publish', '3s', '--node-ca-life', '10s');
      await second.logged(event('trust.rotation', 'another root signs'));
      expect(secret('sallyport-ca', 'root.crt')).toBe(next);
      expect(bundle('a')).toContain(before);
      expect(field(['secret', '-n', OURS, 'sallyport-ca'], '{.metadata.annotations.sallyport\\.dev/ca-phase}')).toBe(
        'retiring',
      );
      expect(second.lines.filter(event('trust.rotation', 'another root signs'))).toHaveLength(1);
    },
    LONG_MS,
  );

  clusterTest()(
    'that was deleted begins anew, and every bundle with it',
    async () => {
      controller();
      const before = secret('sallyport-ca', 'root.crt');
      cluster.kubectl(['delete', 'secret', '-n', OURS, 'sallyport-ca']);
      await until(() => !['', before].includes(secret('sallyport-ca', 'root.crt')), 'another root');
      await until(() => bundle('a') === secret('sallyport-ca', 'root.crt'), 'the bundle');
    },
    LONG_MS,
  );

  clusterTest()(
    'that cannot be read is said with what to do, and the last one signs on',
    async () => {
      const role = controller();
      await role.logged(event('controller.leading'));
      const before = field(['secret', '-n', OURS, 'sallyport-ca'], '{.data}');
      const {'root.crt': crt} = JSON.parse(before) as Record<string, string>;
      cluster.kubectl(['patch', 'secret', '-n', OURS, 'sallyport-ca', '-p', '{"data":{"root.crt":"bm8K"}}']);
      await role.logged(event('trust.failed', 'holds no PEM certificate'));
      cluster.kubectl(['patch', 'secret', '-n', OURS, 'sallyport-ca', '-p', JSON.stringify({data: {'root.crt': crt}})]);
    },
    LONG_MS,
  );
});

describe('the bundle', () => {
  clusterTest()(
    'is put back whatever of it is changed, also where somebody froze it',
    async () => {
      const role = controller();
      await role.logged(event('controller.leading'));
      const whole = (): string => field(['configmap', '-n', 'a', 'sallyport-trust'], '{.data}{.binaryData}');
      await until(() => bundle('a') === secret('sallyport-ca', 'root.crt'), 'the bundle');
      const before = whole();
      for (const patch of [
        {data: {'ca.crt': 'none'}},
        {data: {'bundle.crt': 'none'}},
        {binaryData: {'truststore.p12': 'bm9uZQ=='}},
        {data: {'ca.crt': null}},
        {data: {'ca.crt': 'none'}, immutable: true},
      ]) {
        expect(
          cluster.kubectl(['patch', 'configmap', '-n', 'a', 'sallyport-trust', '-p', JSON.stringify(patch)]),
        ).toMatchObject({status: 0});
        await until(() => whole() === before, JSON.stringify(patch));
      }
    },
    LONG_MS,
  );

  clusterTest()(
    "has a company's own roots, and follows their files",
    async () => {
      const dir = mkdtempSync(join(cluster.dir, 'extra-'));
      const company = (): string => certificatePem(makeRoot(newKey(), Date.now(), 86_400_000, 'company'));
      const [one, two] = [company(), company()];
      const file = join(dir, 'company.pem');
      writeFileSync(file, one);
      const role = controller('--extra-ca', file, '--public-roots', 'none');
      await role.logged(event('controller.leading'));
      await until(() => bundle('a', 'bundle.crt').includes(one.trim()), 'the first');
      writeFileSync(file, 'half a certificate');
      await role.logged(event('trust.failed', 'The last good ones stay'));
      expect(bundle('a', 'bundle.crt')).toContain(one.trim());
      writeFileSync(file, two);
      await until(() => bundle('a', 'bundle.crt').includes(two.trim()), 'the second');
      expect(bundle('a', 'bundle.crt')).not.toContain(one.trim());
      expect(roots(bundle('a', 'bundle.crt'))).toBe(2);
      expect(bundle('a')).not.toContain(two.trim());
      // What adds to its own list gets ours and the company's.
      expect(roots(bundle('a', 'added.crt'))).toBe(2);
      expect(bundle('a', 'added.crt')).toContain(two.trim());
    },
    LONG_MS,
  );
});

describe('the namespace of a pod that came by its label alone', () => {
  clusterTest().each<[string, Record<string, string>]>([
    ['captured', {'sallyport.dev/mode': 'tproxy'}],
    ['told of the proxy', {'sallyport.dev/inject': 'true'}],
  ])(
    'gets the bundle, which the webhook has made the pod wait for: %s',
    async (_title, labels) => {
      const name = `by-${Object.keys(labels)[0]!.split('/')[1]!}`;
      apply(namespace(name, false));
      expect(cluster.kubectl(['create', 'serviceaccount', 'default', '-n', name]).status).toBe(0);
      const role = controller();
      await role.logged(event('controller.leading'));
      expect(cluster.kubectl(['get', 'configmap', '-n', name, 'sallyport-trust']).status).not.toBe(0);
      const installation = readInstallation('defaults', '', new Map()).value!;
      const asked = {
        metadata: {name: 'web', namespace: name, labels},
        spec: {containers: [{name: 'app', image: 'app'}]},
      };
      const injection = inject(asked, {name, labels: {}, annotations: {}}, installation);
      const {pod} = injection as Extract<typeof injection, {kind: 'inject'}>;
      // Without it the kubelet would not start the pod, and it would not be "a moment" but for ever.
      expect(pod.spec.volumes).toContainEqual(
        expect.objectContaining({configMap: expect.objectContaining({name: 'sallyport-trust'})}),
      );
      apply({...pod, apiVersion: 'v1', kind: 'Pod'});
      await until(() => bundle(name) === secret('sallyport-ca', 'root.crt'), 'the bundle');
    },
    LONG_MS,
  );
});

clusterTest()(
  'a bundle that nothing needs any more is removed; one of somebody else is not',
  async () => {
    apply(namespace('leaving'), namespace('never', false));
    cluster.kubectl(['create', 'configmap', '-n', 'never', 'sallyport-trust', '--from-literal=mine=1']);
    const config = new KubeConfig();
    config.loadFromFile(kubeconfig);
    const events: string[] = [];
    const keeper = keepTrust({
      ...{config, namespace: OURS, configMap: 'sallyport-trust', removeAfterMs: 0},
      bundle: bundleOf({roots: [secret('sallyport-ca', 'root.crt')], publicRoots: 'none'}),
      onApplied: (where) => events.push(`applied ${where}`),
      onRemoved: (where) => events.push(`removed ${where}`),
      onFailed: (where, error) => events.push(`failed ${where} ${String(error)}`),
      onEverywhere: () => events.push('everywhere'),
      onTrouble: () => undefined,
    });
    try {
      await until(() => events.includes('everywhere'), 'everywhere');
      expect(events).toContain('applied leaving');
      cluster.kubectl(['label', 'namespace', 'leaving', 'sallyport.dev/injection-']);
      await until(() => events.includes('removed leaving'), 'removed');
      expect(cluster.kubectl(['get', 'configmap', '-n', 'leaving', 'sallyport-trust']).status).not.toBe(0);
      expect(field(['configmap', '-n', 'never', 'sallyport-trust'], '{.data}')).toBe('{"mine":"1"}');
    } finally {
      keeper.stop();
    }
  },
  LONG_MS,
);

describe('our own services', () => {
  const service = {name: 'sallyport-injector', namespace: OURS, path: '/mutate'};
  const configuration = (kind: string, clientConfig: object, annotations = {}): object => ({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind,
    metadata: {name: 'sallyport', annotations},
    webhooks: [
      {
        ...{name: 'ours.sallyport.dev', clientConfig, sideEffects: 'None', admissionReviewVersions: ['v1']},
        ...{rules: [], failurePolicy: 'Ignore'},
      },
      {
        ...{name: 'another.example.com', sideEffects: 'None', admissionReviewVersions: ['v1'], rules: []},
        clientConfig: {service: {...service, name: 'another'}},
      },
    ],
  });
  const caBundle = (kind = 'mutatingwebhookconfiguration', index = 0): string =>
    Buffer.from(field([kind, 'sallyport'], `{.webhooks[${index}].clientConfig.caBundle}`), 'base64').toString('utf8');

  clusterTest()(
    'get certificates that the API server believes, under a root that pods do not know; a configuration that comes later too',
    async () => {
      const role = controller();
      await until(() => secret('sallyport-injector-tls', 'tls.crt') !== '', 'the certificate');
      apply(configuration('MutatingWebhookConfiguration', {service}));
      apply(configuration('ValidatingWebhookConfiguration', {service}));
      await role.logged(event('serving.trusted', 'ValidatingWebhookConfiguration'));
      const leaf = new X509Certificate(secret('sallyport-injector-tls', 'tls.crt'));
      expect(leaf.subjectAltName).toContain('DNS:sallyport-injector.sallyport.svc,');
      const root = new X509Certificate(caBundle());
      expect(leaf.verify(root.publicKey)).toBe(true);
      expect(caBundle('validatingwebhookconfiguration')).toBe(caBundle());
      expect(caBundle('mutatingwebhookconfiguration', 1)).toBe('');
      expect(secret('sallyport-injector-tls', 'ca.crt')).toBe(caBundle());
      expect(bundle('a')).not.toContain(caBundle().trim());
      expect(field(['secret', '-n', OURS, 'sallyport-injector-tls'], '{.type}')).toBe('kubernetes.io/tls');
    },
    LONG_MS,
  );

  clusterTest()(
    'a new root of theirs is believed before it signs, and the certificate follows',
    async () => {
      const role = controller('--serving-publish', '2s');
      await role.logged(event('controller.leading'));
      const before = caBundle();
      const leaf = secret('sallyport-injector-tls', 'tls.crt');
      cluster.kubectl(['annotate', 'secret', '-n', OURS, 'sallyport-serving-ca', 'sallyport.dev/rotate=now']);
      await until(() => secret('sallyport-injector-tls', 'tls.crt') !== leaf, 'another certificate');
      expect(caBundle()).toContain(before);
      expect(roots(caBundle())).toBe(2);
      const [next] = caBundle().split(/(?<=-----END CERTIFICATE-----\n)/);
      expect(
        new X509Certificate(secret('sallyport-injector-tls', 'tls.crt')).verify(new X509Certificate(next!).publicKey),
      ).toBe(true);
    },
    LONG_MS,
  );

  clusterTest()(
    'the injector waits for its certificate, and serves with it as the API server checks it',
    async () => {
      apply(parse(readFileSync(join(ROOT, 'charts/sallyport/crds/upstreamproxy.yaml'), 'utf8')) as object);
      const mounted = mkdtempSync(join(cluster.dir, 'mounted-'));
      const [port] = (await freePorts(1)) as [number];
      const injector = startRole([
        ...['injector', '--kubeconfig', cluster.kubeconfig, '--listen', `127.0.0.1:${port}`, '--admin', '127.0.0.1:0'],
        ...['--tls-cert', join(mounted, 'tls.crt'), '--tls-key', join(mounted, 'tls.key'), '--drain-deadline', '0'],
      ]);
      running.push(injector);
      await injector.logged(event('tls.waiting', 'serves as soon as it is there'));
      for (const key of ['tls.key', 'tls.crt'])
        writeFileSync(join(mounted, key), secret('sallyport-injector-tls', key));
      await injector.logged(event('injector.listening'));
      const seen = await new Promise<boolean>((resolve, reject) => {
        const asked = {host: '127.0.0.1', port, ca: caBundle(), servername: 'sallyport-injector.sallyport.svc'};
        const socket = connect(asked, () => {
          resolve(socket.authorized);
          socket.destroy();
        });
        socket.on('error', reject);
      });
      expect(seen).toBe(true);
    },
    LONG_MS,
  );

  clusterTest()(
    "are left to cert-manager where a configuration says so, and a Secret that is somebody's own stays",
    async () => {
      const inject = {'cert-manager.io/inject-ca-from': 'sallyport/injector'};
      apply(configuration('MutatingWebhookConfiguration', {service, caBundle: ''}, inject));
      cluster.kubectl(['label', 'secret', '-n', OURS, 'sallyport-injector-tls', 'app.kubernetes.io/managed-by-']);
      cluster.kubectl(['patch', 'secret', '-n', OURS, 'sallyport-injector-tls', '-p', '{"data":{"tls.crt":"bm8K"}}']);
      const before = caBundle();
      const role = controller();
      await role.logged(event('serving.failed', 'sallyport-injector-tls was made by somebody else'));
      expect(secret('sallyport-injector-tls', 'tls.crt')).toBe('no\n');
      expect(caBundle()).toBe(before);
    },
    LONG_MS,
  );
});

clusterTest()('no key of ours is anywhere but in our namespace, and the nodes’ is nowhere', () => {
  const {items} = JSON.parse(cluster.kubectl(['get', 'secrets,configmaps,csr', '-A', '-o', 'json']).stdout) as {
    items: {kind: string; metadata: {name: string; namespace?: string}; data?: object; binaryData?: object}[];
  };
  const holding = items.filter(({data = {}, binaryData = {}}) =>
    [...Object.values(data), ...Object.values(binaryData)].some(
      (value: string) =>
        value.includes('PRIVATE KEY') || Buffer.from(value, 'base64').toString('latin1').includes('PRIVATE KEY'),
    ),
  );
  expect(holding.map(({kind, metadata}) => `${kind} ${metadata.namespace}/${metadata.name}`).sort()).toEqual([
    'Secret sallyport/sallyport-ca',
    'Secret sallyport/sallyport-injector-tls',
    'Secret sallyport/sallyport-serving-ca',
  ]);
  expect(items.some(({kind}) => kind === 'ConfigMap')).toBe(true);
});
