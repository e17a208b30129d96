/** `sallyport doctor cluster` beside a real API server and a real injector, whole and broken. */
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {spawn} from 'node:child_process';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {createLeafMint, ephemeralCa} from '../pki/index.ts';
import {startControlPlane, type ControlPlane, type Ran} from '../test/cluster/control-plane.ts';
import {freePorts} from '../test/cluster/ports.ts';
import {clusterTest} from '../test/cluster/require.ts';
import {startRole, type Role} from '../test/cluster/role.ts';
import {VERSION} from '../runtime/version.ts';

const ROOT = join(import.meta.dirname, '..');
const TIMEOUT_MS = 120_000;
const it = clusterTest();

interface Line {
  readonly check: string;
  readonly verdict: 'ok' | 'warn' | 'FAIL';
  readonly looked: boolean;
  readonly found: string;
  readonly fix: string;
}

let cluster: ControlPlane;
let dir: string;
let port: number;
const roles: Role[] = [];
const ca = ephemeralCa();

function kubectl(argv: readonly string[], input?: object | string): Ran {
  return cluster.kubectl(argv, typeof input === 'object' ? JSON.stringify(input) : input);
}
function done(argv: readonly string[], input?: object | string): void {
  expect({argv, ...kubectl(argv, input)}).toMatchObject({argv, status: 0});
}
const apply = (object: object): void => done(['apply', '--server-side', '--force-conflicts', '-f', '-'], object);
/** The status of an object as its writer leaves it. */
const applyStatus = (object: object): void =>
  done(['apply', '--server-side', '--force-conflicts', '--subresource=status', '-f', '-'], object);

async function doctor(...argv: string[]): Promise<{status: number | null; stdout: string; stderr: string}> {
  const child = spawn(
    process.execPath,
    [join(ROOT, 'cli/main.ts'), 'doctor', 'cluster', '--kubeconfig', cluster.kubeconfig, ...argv],
    {stdio: ['ignore', 'pipe', 'pipe']},
  );
  const texts = {stdout: '', stderr: ''};
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => (texts[name] += text));
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return {status, ...texts};
}
async function lines(): Promise<Line[]> {
  const {stdout, stderr} = await doctor('-o', 'json');
  expect(stderr).toBe('');
  return (JSON.parse(stdout) as {checks: Line[]}).checks;
}
async function line(check: string): Promise<Line> {
  return (await lines()).find((one) => one.check === check)!;
}

const webhooks = (path: string, more: object = {}): object => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: path === 'mutate' ? 'MutatingWebhookConfiguration' : 'ValidatingWebhookConfiguration',
  metadata: {name: 'sallyport'},
  webhooks: [
    {
      name: `mode.${path}.sallyport.dev`,
      clientConfig: {
        url: `https://127.0.0.1:${port}/${path}`,
        caBundle: Buffer.from(ca.rootPem).toString('base64'),
      },
      rules: [
        {operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods']},
        {operations: ['UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods/ephemeralcontainers']},
      ],
      failurePolicy: 'Fail',
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
      timeoutSeconds: 5,
      namespaceSelector: {
        matchExpressions: [
          {key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['kube-system', 'sallyport', 'left-out']},
        ],
      },
      ...more,
    },
  ],
});

const BOOT = '11111111-2222-3333-4444-555555555555';
const report = (more: object = {}): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressNode',
  metadata: {name: 'node-1'},
  status: {
    version: VERSION,
    bootID: BOOT,
    ready: true,
    heartbeatTime: new Date().toISOString().replace(/\.\d+/, ''),
    ...more,
  },
});

beforeAll(async () => {
  cluster = await startControlPlane();
  dir = mkdtempSync(join(tmpdir(), 'sallyport-doctor-'));
  done(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]);
  done(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
  for (const name of ['sallyport', 'opted', 'left-out']) done(['create', 'namespace', name]);
  for (const namespace of ['default', 'opted', 'left-out'])
    kubectl(['create', 'serviceaccount', 'default', '-n', namespace]);
  done(['label', 'namespace', 'opted', 'sallyport.dev/injection=enabled']);
  const {chainPem, keyPem} = createLeafMint({ca}).mint('127.0.0.1');
  writeFileSync(join(dir, 'tls.crt'), chainPem);
  writeFileSync(join(dir, 'tls.key'), keyPem, {mode: 0o600});
  writeFileSync(join(dir, 'config.yaml'), readFileSync(join(ROOT, 'injector/testdata/installation.yaml')));
  [port] = (await freePorts(1)) as [number];
  const injector = startRole([
    ...['injector', '--kubeconfig', cluster.kubeconfig, '--config', join(dir, 'config.yaml')],
    ...['--listen', `127.0.0.1:${port}`, '--admin', '127.0.0.1:0'],
    ...['--tls-cert', join(dir, 'tls.crt'), '--tls-key', join(dir, 'tls.key')],
  ]);
  roles.push(injector);
  await injector.logged(({event}) => event === 'injector.listening');
  const controller = startRole([
    ...['controller', '--kubeconfig', cluster.kubeconfig, '--identity', 'one', '--admin', '127.0.0.1:0'],
  ]);
  roles.push(controller);
  await controller.logged(({event, message}) => event === 'trust.applied' && message.includes('opted'));
  await controller.logged(({event, message}) => event === 'trust.applied' && message.includes('namespace sallyport'));
  for (const path of ['mutate', 'validate']) apply(webhooks(path));
  apply({apiVersion: 'v1', kind: 'Node', metadata: {name: 'node-1', labels: {'kubernetes.io/os': 'linux'}}});
  applyStatus({apiVersion: 'v1', kind: 'Node', metadata: {name: 'node-1'}, status: {nodeInfo: nodeInfo()}});
  apply({apiVersion: 'sallyport.dev/v1alpha1', kind: 'EgressNode', metadata: {name: 'node-1'}});
  applyStatus(report());
  apply(policy('web', [{name: 'r', to: {hosts: ['a.test']}}]));
  await well();
}, TIMEOUT_MS);

afterAll(async () => {
  for (const role of roles.reverse()) await role.stop();
  await cluster?.stop();
  if (dir !== undefined) rmSync(dir, {recursive: true, force: true});
}, TIMEOUT_MS);

const nodeInfo = (): object => ({
  ...{machineID: 'm', systemUUID: 's', bootID: BOOT, kernelVersion: '6.1', osImage: 'Debian'},
  ...{
    containerRuntimeVersion: 'c',
    kubeletVersion: 'v1',
    kubeProxyVersion: 'v1',
    operatingSystem: 'linux',
    architecture: 'amd64',
  },
});
const policy = (name: string, rules: object[]): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name, namespace: 'default'},
  spec: {podSelector: {}, rules},
});

/** Until every check is ok: the API server's and the controller's copies follow in their own time. */
async function well(): Promise<void> {
  for (const until = Date.now() + TIMEOUT_MS / 2; ;) {
    const ill = (await lines()).filter(({verdict}) => verdict !== 'ok');
    if (ill.length === 0) return;
    if (Date.now() > until) throw new Error(JSON.stringify(ill, null, 1));
  }
}
/** The first report in which the check is not ok. */
async function unwell(check: string): Promise<Line> {
  for (const until = Date.now() + TIMEOUT_MS / 2; ;) {
    const found = await line(check);
    if (found.verdict !== 'ok' || Date.now() > until) return found;
  }
}

describe('a cluster where all is well', () => {
  it(
    'every check is ok and the exit code is 0',
    async () => {
      const {status, stdout} = await doctor();
      expect(stdout).toMatch(/^ok {4}cluster\.admission .*one was injected and the other refused by us/m);
      expect(stdout).toMatch(/13 ok, 0 warnings, 0 failed\n$/);
      expect(status).toBe(0);
    },
    TIMEOUT_MS,
  );
  it(
    'nothing is left of the dry runs',
    () => {
      expect(kubectl(['get', 'pods', '-A', '-o', 'name']).stdout).toBe('');
    },
    TIMEOUT_MS,
  );
});

/** Breaks one thing, tells what doctor says of it, and puts it back. */
async function while_(check: string, broken: () => void, repair: () => void): Promise<Line> {
  try {
    broken();
    return await unwell(check);
  } finally {
    repair();
    await well();
  }
}
const patch = (what: readonly string[], body: object): void =>
  done(['patch', ...what, '--type=merge', '-p', JSON.stringify(body)]);

describe('the webhook', () => {
  it(
    'that fails open, or is not asked about ephemeral containers',
    async () => {
      const {verdict, found} = await while_(
        'cluster.webhooks',
        () =>
          apply(
            webhooks('validate', {
              failurePolicy: 'Ignore',
              rules: [{operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods']}],
            }),
          ),
        () => apply(webhooks('validate')),
      );
      expect(verdict).toBe('FAIL');
      expect(found).toMatch(/failurePolicy Ignore: while the webhook is down, pods start unguarded/);
      expect(found).toMatch(/kubectl debug goes past it/);
    },
    TIMEOUT_MS,
  );
  it(
    'that is gone: nothing is injected, nothing is refused',
    async () => {
      const {verdict, found} = await while_(
        'cluster.admission',
        () => {
          done(['delete', 'mutatingwebhookconfiguration', 'sallyport']);
          done(['delete', 'validatingwebhookconfiguration', 'sallyport']);
        },
        () => ['mutate', 'validate'].forEach((path) => apply(webhooks(path))),
      );
      expect(verdict).toBe('FAIL');
      expect(found).toMatch(/comes back as it was/);
    },
    TIMEOUT_MS,
  );
  it(
    'whose certificate the API server does not believe',
    async () => {
      const other = Buffer.from(ephemeralCa().rootPem).toString('base64');
      const {clientConfig} = (webhooks('mutate') as {webhooks: [{clientConfig: object}]}).webhooks[0];
      const wrong = {clientConfig: {...clientConfig, caBundle: other}};
      const found = await while_(
        'cluster.admission',
        () => apply(webhooks('mutate', wrong)),
        () => apply(webhooks('mutate')),
      );
      expect(found.found).toMatch(/cannot be created in default: .*certificate/);
      apply(webhooks('mutate', wrong));
      const all = await lines();
      apply(webhooks('mutate'));
      expect(all.find(({check}) => check === 'cluster.certificates')).toMatchObject({
        verdict: 'FAIL',
        found: expect.stringContaining('its caBundle does not hold the issuer'),
      });
      await well();
    },
    TIMEOUT_MS,
  );
  it(
    'that leads to a Service nobody is behind',
    async () => {
      const clientConfig = {
        service: {name: 'sallyport-injector', namespace: 'sallyport', path: '/validate'},
        caBundle: Buffer.from(ca.rootPem).toString('base64'),
      };
      const {verdict, found} = await while_(
        'cluster.webhooks',
        () =>
          apply({
            ...webhooks('validate'),
            webhooks: [
              {
                ...(webhooks('validate') as {webhooks: [object]}).webhooks[0],
                clientConfig,
                namespaceSelector: {matchLabels: {never: 'x'}},
              },
            ],
          }),
        () => {
          done(['delete', 'validatingwebhookconfiguration', 'sallyport']);
          apply(webhooks('validate'));
        },
      );
      expect(verdict).toBe('FAIL');
      expect(found).toContain('the Service sallyport/sallyport-injector has no ready endpoint');
    },
    TIMEOUT_MS,
  );
});

describe('namespaces and pods', () => {
  it(
    'a namespace that opts in and is left out by the webhook',
    async () => {
      const {verdict, found} = await while_(
        'cluster.namespaces',
        () => done(['label', 'namespace', 'left-out', 'sallyport.dev/injection=enabled']),
        () => done(['label', 'namespace', 'left-out', 'sallyport.dev/injection-']),
      );
      expect(verdict).toBe('FAIL');
      expect(found).toBe('namespace left-out opts in, and the webhook is not asked about its pods');
    },
    TIMEOUT_MS,
  );
  it(
    'a bundle that somebody changed while nobody keeps it',
    async () => {
      const controller = roles.pop()!;
      await controller.stop();
      patch(['configmap', '-n', 'opted', 'sallyport-trust'], {data: {'ca.crt': 'nothing'}});
      const {verdict, found} = await line('cluster.trust');
      expect({verdict, found}).toEqual({
        verdict: 'FAIL',
        found: 'that of namespace opted is another: its pods reject what the CA signs now',
      });
      done(['delete', 'configmap', '-n', 'opted', 'sallyport-trust']);
      expect((await line('cluster.trust')).found).toBe('namespace opted has none: its pods wait for the mount');
      roles.push(
        startRole(['controller', '--kubeconfig', cluster.kubeconfig, '--identity', 'two', '--admin', '127.0.0.1:0']),
      );
      await well();
    },
    TIMEOUT_MS,
  );
  it(
    'pods that were made without the webhook, are held by nobody, or had nobody to wait for',
    async () => {
      const pod = (name: string, labels: object, annotations: object = {}): object => ({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {name, namespace: 'left-out', labels, annotations},
        spec: {nodeName: 'node-1', automountServiceAccountToken: false, containers: [{name: 'app', image: 'a'}]},
      });
      const running = (name: string): void =>
        done([
          'patch',
          'pod',
          '-n',
          'left-out',
          name,
          '--subresource=status',
          '--type=merge',
          '-p',
          '{"status":{"phase":"Running","podIP":"10.1.1.1","podIPs":[{"ip":"10.1.1.1"}]}}',
        ]);
      done(['create', '-f', '-'], pod('unseen', {'sallyport.dev/mode': 'tproxy'}));
      running('unseen');
      const unseen = await line('cluster.pods');
      expect(unseen.verdict).toBe('FAIL');
      expect(unseen.found).toContain('left-out/unseen asks for tproxy and was made without the webhook');
      expect(unseen.found).toContain('the agent of node-1 does not hold it');
      done(['delete', 'pod', '-n', 'left-out', 'unseen', '--grace-period=0', '--force']);

      done(['create', '-f', '-'], pod('late', {app: 'late'}));
      running('late');
      const uid = kubectl(['get', 'pod', '-n', 'left-out', 'late', '-o', 'jsonpath={.metadata.uid}']).stdout;
      applyStatus(report({locked: [uid]}));
      expect(await line('cluster.pods')).toMatchObject({
        verdict: 'warn',
        found: 'left-out/late is held, and nothing waited for that when it started: a window of milliseconds',
      });
      applyStatus(report());
      done(['delete', 'pod', '-n', 'left-out', 'late', '--grace-period=0', '--force']);
      await well();
    },
    TIMEOUT_MS,
  );
});

describe('agents', () => {
  it.each<[string, object, RegExp]>([
    ['is not ready', {ready: false}, /^the agent of node-1 is not ready$/],
    ['was not heard of since the node restarted', {bootID: 'another'}, /node node-1 was restarted/],
    ['is silent', {heartbeatTime: '2026-01-01T00:00:00Z'}, /silent since 2026-01-01/],
    [
      'lacks a Secret',
      {missingRefs: [{proxy: 'corp', message: 'no Secret'}]},
      /UpstreamProxy corp cannot be used: no Secret/,
    ],
  ])(
    'one that %s',
    async (_, more, found) => {
      const said = await while_(
        'cluster.agents',
        () => applyStatus(report(more)),
        () => applyStatus(report()),
      );
      expect(said).toMatchObject({verdict: 'FAIL', found: expect.stringMatching(found)});
    },
    TIMEOUT_MS,
  );
  it(
    'a node without one',
    async () => {
      const said = await while_(
        'cluster.agents',
        () =>
          apply({apiVersion: 'v1', kind: 'Node', metadata: {name: 'node-2', labels: {'kubernetes.io/os': 'linux'}}}),
        () => done(['delete', 'node', 'node-2']),
      );
      expect(said).toMatchObject({verdict: 'FAIL', found: 'node node-2 has no agent: no pod there is captured'});
    },
    TIMEOUT_MS,
  );
  it(
    'another version is a warning',
    async () => {
      const said = await while_(
        'cluster.versions',
        () => applyStatus(report({version: '9.9.9'})),
        () => applyStatus(report()),
      );
      expect(said).toMatchObject({verdict: 'warn', found: expect.stringContaining('the agent of node-1 is 9.9.9')});
    },
    TIMEOUT_MS,
  );
});

describe('policies, definitions and rights', () => {
  it(
    'a policy that is not accepted',
    async () => {
      const said = await while_(
        'cluster.policies',
        () => apply(policy('bad', [{name: 'r', to: {cidrs: ['10.1.2.3/8']}}])),
        () => done(['delete', 'egp', 'bad']),
      );
      expect(said.found).toMatch(/EgressPolicy default\/bad/);
    },
    TIMEOUT_MS,
  );
  it(
    'a definition of another version, and one that is gone',
    async () => {
      const file = join(ROOT, 'charts/sallyport/crds/upstreamproxy.yaml');
      const name = 'upstreamproxies.sallyport.dev';
      const crd = JSON.parse(kubectl(['get', 'crd', name, '-o', 'json']).stdout) as {
        spec: {versions: [{schema: {openAPIV3Schema: {properties: {spec: {properties: Record<string, unknown>}}}}}]};
      };
      crd.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties['later'] = {type: 'string'};
      patch(['crd', name], {spec: {versions: crd.spec.versions}});
      expect(await line('cluster.crds')).toMatchObject({
        verdict: 'warn',
        found: expect.stringContaining('has another schema'),
      });
      done(['delete', 'crd', name]);
      expect(await line('cluster.crds')).toMatchObject({verdict: 'FAIL', found: `${name} is not there`});
      done(['apply', '--server-side', '--force-conflicts', '-f', file]);
      await well();
    },
    TIMEOUT_MS,
  );
  it(
    'a service account of ours that may read every Secret',
    async () => {
      const said = await while_(
        'cluster.rbac',
        () => {
          done(['create', 'clusterrole', 'too-wide', '--verb=get,list', '--resource=secrets']);
          done([
            'create',
            'clusterrolebinding',
            'too-wide',
            '--clusterrole=too-wide',
            '--serviceaccount=sallyport:sallyport-injector',
          ]);
        },
        () => {
          done(['delete', 'clusterrolebinding', 'too-wide']);
          done(['delete', 'clusterrole', 'too-wide']);
        },
      );
      expect(said).toMatchObject({
        verdict: 'FAIL',
        found: 'sallyport-injector may get, list secrets in every namespace (ClusterRole too-wide, bound by too-wide)',
      });
    },
    TIMEOUT_MS,
  );
});

describe('who may not look', () => {
  it(
    'a user without rights is told so in each line, and nothing is taken for well',
    async () => {
      const kubeconfig = cluster.kubeconfigOf('nobody', ['nobodies']);
      const {status, stdout} = await doctor('--kubeconfig', kubeconfig, '-o', 'json');
      const {checks} = JSON.parse(stdout) as {checks: Line[]};
      for (const name of ['cluster.pods', 'cluster.rbac', 'cluster.webhooks', 'cluster.trust'])
        expect(checks.find(({check}) => check === name)).toMatchObject({
          looked: false,
          found: expect.stringContaining('403'),
          fix: expect.stringContaining('kubeconfig'),
        });
      expect(status).toBe(1);
    },
    TIMEOUT_MS,
  );
  it(
    'with the API server away nothing could be looked at: exit 3, and it says so in time',
    async () => {
      await cluster.stopApiServer();
      const {status, stdout} = await doctor('-o', 'json');
      await cluster.startApiServer();
      const {checks} = JSON.parse(stdout) as {checks: Line[]};
      // Which definitions are ours is known; what is there is not.
      expect(checks.filter(({looked}) => looked)).toEqual([]);
      expect(status).toBe(3);
    },
    TIMEOUT_MS,
  );
});
