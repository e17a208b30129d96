/** Pods of all shapes, for property tests: what their authors wrote clashes with what we write as often as not. */
import fc from 'fast-check';
import type {Container, EnvVar, Pod, Volume, VolumeMount} from './pod.ts';

const variable: fc.Arbitrary<EnvVar> = fc.oneof(
  fc.record({
    name: fc.constantFrom('HTTP_PROXY', 'http_proxy', 'https_proxy', 'NO_PROXY', 'ALL_PROXY', 'all_proxy', 'FOO'),
    value: fc.constantFrom('', 'http://own:8080', '$(FOO)', '*'),
  }),
  fc.record({
    name: fc.constantFrom('SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS', 'JAVA_TOOL_OPTIONS', 'SALLYPORT_NODE_IP'),
    value: fc.constantFrom('', '/own.pem', '-Xmx1g', '-Dhttp.proxyHost=own'),
  }),
  fc.record({
    name: fc.constantFrom('HTTPS_PROXY', 'JAVA_TOOL_OPTIONS', 'PIP_CERT'),
    valueFrom: fc.constant({secretKeyRef: {name: 'own', key: 'key'}}),
  }),
);

const mount: fc.Arbitrary<VolumeMount> = fc.record({
  name: fc.constantFrom('own', 'sallyport-trust'),
  mountPath: fc.constantFrom('/data', '/etc', '/etc/ssl/certs', '/etc/sallyport/trust', '/etc/sallyport/trust/own'),
});

const container = (name: string): fc.Arbitrary<Container> =>
  fc.record(
    {
      name: fc.constant(name),
      image: fc.constant('example/app'),
      env: fc.array(variable, {maxLength: 5}),
      envFrom: fc.constantFrom([{configMapRef: {name: 'own'}}], [{prefix: 'APP_', secretRef: {name: 'own'}}]),
      volumeMounts: fc.uniqueArray(mount, {maxLength: 2, selector: ({mountPath}) => mountPath}),
      securityContext: fc.constantFrom(
        {},
        {capabilities: {drop: ['ALL']}},
        {capabilities: {add: ['CHOWN'], drop: ['CAP_NET_RAW']}},
        {runAsUser: 1000},
      ),
    },
    {requiredKeys: ['name', 'image']},
  );

const containers = (...names: string[]): fc.Arbitrary<Container[]> =>
  fc.subarray(names, {minLength: 1}).chain((some) => fc.tuple(...some.map(container)));

const volume: fc.Arbitrary<Volume> = fc.oneof(
  fc.constant({name: 'own', emptyDir: {}}),
  fc.constant({name: 'sallyport-trust', emptyDir: {}}),
  fc.constant({name: 'sallyport-trust', configMap: {name: 'sallyport-trust'}}),
);

const annotation = fc.constantFrom(
  ['sallyport.dev/no-proxy', '.own, a.example'],
  ['sallyport.dev/upstream-proxy', 'http://squid.corp.example:3128'],
  ['sallyport.dev/upstream-proxy', 'Node'],
  ['sallyport.dev/all-proxy', 'true'],
  ['sallyport.dev/system-trust', 'true'],
  ['sallyport.dev/trusts-ca', 'false'],
  ['sallyport.dev/skip-containers', 'app, migrate'],
  ['sallyport.dev/status', 'forged'],
  ['sallyport.dev/typo', 'x'],
  ['example.com/other', 'x'],
) as fc.Arbitrary<[string, string]>;

/** Pods that ask for a mode, by the label or by `inject`. */
export const arbitraryPod: fc.Arbitrary<Pod> = fc.record({
  apiVersion: fc.constant('v1'),
  kind: fc.constant('Pod'),
  metadata: fc.record(
    {
      generateName: fc.constant('web-'),
      labels: fc.constantFrom(
        {'sallyport.dev/inject': 'true'},
        {'sallyport.dev/mode': 'proxy-env'},
        {'sallyport.dev/mode': 'mesh', app: 'web'},
        {'sallyport.dev/mode': 'tproxy'},
      ),
      annotations: fc.array(annotation, {maxLength: 4}).map((entries) => Object.fromEntries(entries)),
      ownerReferences: fc.constant([{apiVersion: 'batch/v1', kind: 'Job', name: 'web', uid: 'u'}]),
    },
    {requiredKeys: ['labels']},
  ),
  spec: fc.record(
    {
      containers: containers('app', 'worker', 'istio-proxy'),
      initContainers: containers('migrate', 'istio-init'),
      volumes: fc.uniqueArray(volume, {maxLength: 2, selector: ({name}) => name}),
      restartPolicy: fc.constant('Never'),
    },
    {requiredKeys: ['containers']},
  ),
});
