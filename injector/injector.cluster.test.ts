/** The webhook in front of a real API server: pods are created by kubectl, and what is stored is looked at. */
import {execFile, spawn, type ChildProcess} from 'node:child_process';
import {createHash} from 'node:crypto';
import {mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:https';
import type {AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {createLeafMint, ephemeralCa} from '../pki/index.ts';
import {rendered} from '../test/chart/helm.ts';
import {programPath} from '../test/cluster/binaries.ts';
import {startControlPlane, type ControlPlane, type Ran} from '../test/cluster/control-plane.ts';
import {freePorts} from '../test/cluster/ports.ts';
import {clusterTest} from '../test/cluster/require.ts';
import type {Container, Pod} from './pod.ts';
import {until, within, WITHIN_MS} from '../test/waiting.ts';

const ROOT = join(import.meta.dirname, '..');
const ca = ephemeralCa();
const mint = createLeafMint({ca});

let cluster: ControlPlane;
let dir: string;
let injector: ChildProcess;
let port: number;
const said: string[] = [];
const waiting: (() => void)[] = [];

/** A line of the injector's log, now or later. */
function logged(event: string): Promise<void> {
  const line = new Promise<void>((resolve, reject) => {
    const look = (): void => {
      if (said.some((line) => line.includes(`"${event}"`))) resolve();
      else if (injector.exitCode !== null) reject(new Error(`the injector has ended:\n${said.join('\n')}`));
      else waiting.push(look);
    };
    look();
  });
  return within(line, `the injector says ${event}`, {said: () => said.join('\n')});
}

beforeAll(async () => {
  cluster = await startControlPlane();
  dir = mkdtempSync(join(tmpdir(), 'sallyport-injector-'));
  expect(cluster.kubectl(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]).status).toBe(0);
  expect(cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']).status).toBe(0);
  serveWith('127.0.0.1');
  writeFileSync(join(dir, 'config.yaml'), readFileSync(join(import.meta.dirname, 'testdata/installation.yaml')));
  [port] = (await freePorts(1)) as [number];
  injector = spawn(
    process.execPath,
    [
      ...[join(ROOT, 'cli/main.ts'), 'injector', '--kubeconfig', cluster.kubeconfig, '--log-format', 'json'],
      ...['--config', join(dir, 'config.yaml'), '--listen', `127.0.0.1:${port}`, '--admin', '127.0.0.1:0'],
      ...['--tls-cert', join(dir, 'tls.crt'), '--tls-key', join(dir, 'tls.key'), '--drain-deadline', '0'],
    ],
    {stdio: ['ignore', 'pipe', 'inherit']},
  );
  createInterface(injector.stdout!).on('line', (line) => {
    said.push(line);
    for (const look of waiting.splice(0)) look();
  });
  injector.once('close', () => {
    for (const look of waiting.splice(0)) look();
  });
  await logged('injector.listening');
  expect(cluster.kubectl(['apply', '-f', '-'], JSON.stringify(webhooks())).status).toBe(0);
  expect(cluster.kubectl(['create', 'serviceaccount', 'default']).status).toBe(0);
  // The API server reads its webhooks from a watch of its own.
  await until(
    () => stored({labels: {'sallyport.dev/inject': 'true'}}),
    ({status}) => status === 'injected',
  );
}, 180_000);

afterAll(async () => {
  if (injector !== undefined && injector.exitCode === null) {
    const ended = new Promise((resolve) => injector.once('exit', resolve));
    injector.kill('SIGTERM');
    await within(ended, 'the end of the injector');
  }
  await cluster?.stop();
  if (dir !== undefined) rmSync(dir, {recursive: true, force: true});
}, 60_000);

/** Puts a new certificate in place, in one step as a mounted Secret does. */
function serveWith(name: string): void {
  const {chainPem, keyPem} = mint.mint(name);
  for (const [file, text] of [
    ['tls.crt', chainPem],
    ['tls.key', keyPem],
  ] as const) {
    writeFileSync(join(dir, `.${file}`), text);
    renameSync(join(dir, `.${file}`), join(dir, file));
  }
}

/** The webhooks of the chart, asked on this machine. */
function webhooks(): object {
  const configurations = rendered().filter(({kind}) => kind.endsWith('WebhookConfiguration'));
  expect(configurations.map(({kind}) => kind)).toEqual([
    'MutatingWebhookConfiguration',
    'ValidatingWebhookConfiguration',
  ]);
  for (const {webhooks: hooks} of configurations)
    for (const hook of hooks as {clientConfig: {service: {path: string}}}[])
      Object.assign(hook, {clientConfig: asked(port, hook.clientConfig.service.path)});
  const exec = rendered().filter(({metadata}) => metadata.name === 'sallyport-exec');
  expect(exec.map(({kind}) => kind).sort()).toEqual(['ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding']);
  return {apiVersion: 'v1', kind: 'List', items: [...configurations, ...exec]};
}

const asked = (at: number, path: string): object => ({
  url: `https://127.0.0.1:${at}${path}`,
  caBundle: Buffer.from(ca.rootPem).toString('base64'),
});

interface Stored {
  readonly status: 'injected' | 'as it was' | 'refused';
  readonly message: string;
  readonly pod: Pod | null;
}

/** Creates a pod as kubectl does, without keeping it, and says what the API server would have stored. */
function stored(metadata: object, spec: object = {}, namespace = 'default'): Stored {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `p${createHash('sha256')
        .update(JSON.stringify([metadata, spec]))
        .digest('hex')
        .slice(0, 8)}`,
      namespace,
      ...metadata,
    },
    spec: {containers: [{name: 'app', image: 'example/app'}], serviceAccountName: 'default', ...spec},
  };
  const ran = cluster.kubectl(['create', '--dry-run=server', '-o', 'json', '-f', '-'], JSON.stringify(pod));
  if (ran.status !== 0) return {status: 'refused', message: ran.stderr, pod: null};
  const made = JSON.parse(ran.stdout) as Pod;
  const injected = made.metadata.annotations?.['sallyport.dev/status'] !== undefined;
  return {status: injected ? 'injected' : 'as it was', message: ran.stderr, pod: made};
}

const variable = (container: Container, name: string): string | undefined =>
  container.env?.find((one) => one.name === name)?.value;

describe('a pod that is created', () => {
  clusterTest('helm')('with the label gets the proxy and the trust, in init containers too', () => {
    const init = {initContainers: [{name: 'migrate', image: 'example/migrate'}]};
    const {pod, status} = stored({labels: {'sallyport.dev/inject': 'true'}}, init);
    expect(status).toBe('injected');
    for (const container of [...pod!.spec.initContainers!, ...pod!.spec.containers]) {
      expect(variable(container, 'HTTPS_PROXY')).toBe('http://$(SALLYPORT_NODE_IP):15081');
      expect(variable(container, 'no_proxy')).toContain('10.96.0.0/12');
      expect(variable(container, 'NODE_EXTRA_CA_CERTS')).toBe('/etc/sallyport/trust/added.crt');
    }
  });

  clusterTest('helm')('without it is stored as it was', () => {
    expect(stored({}).status).toBe('as it was');
  });

  clusterTest('helm')('with a word that does not exist is refused with the words that do', () => {
    expect(stored({labels: {'sallyport.dev/mode': 'proxy'}})).toMatchObject({
      status: 'refused',
      message: expect.stringMatching(/sallyport: .*write one of tproxy, proxy-env, mesh/),
    });
  });

  clusterTest('helm')('captured and privileged is refused with what to change', () => {
    const privileged = {containers: [{name: 'app', image: 'a', securityContext: {privileged: true}}]};
    expect(stored({labels: {'sallyport.dev/mode': 'tproxy'}}, privileged)).toMatchObject({
      status: 'refused',
      message: expect.stringMatching(/container app is privileged: .*Leave privileged out/),
    });
  });

  clusterTest('helm').each([
    ['node', ['sallyport-guard']],
    ['pod', ['sallyport-capture', 'sallyport-proxy', 'sallyport-guard']],
  ])('captured by the %s starts with %j, also when it is made again from what was stored', (capture, names) => {
    const labels = {'sallyport.dev/mode': 'tproxy', 'sallyport.dev/capture': capture};
    const init = {initContainers: [{name: 'migrate', image: 'example/migrate'}], securityContext: {runAsUser: 1000}};
    const first = stored({labels}, init);
    expect(first).toMatchObject({status: 'injected'});
    const {labels: now, annotations} = first.pod!.metadata;
    const second = stored({labels: now, annotations}, first.pod!.spec);
    expect(second).toMatchObject({status: 'injected'});
    for (const {pod} of [first, second])
      expect(pod!.spec.initContainers!.map(({name}) => name)).toEqual([...names, 'migrate']);
  });

  clusterTest('helm')('in a namespace that was just made is judged by its labels', () => {
    const namespace = {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: 'new',
        labels: {'sallyport.dev/injection': 'enabled', 'sallyport.dev/mode': 'tproxy'},
      },
    };
    expect(cluster.kubectl(['create', '-f', '-'], JSON.stringify(namespace)).status).toBe(0);
    expect(cluster.kubectl(['create', 'serviceaccount', 'default', '-n', 'new']).status).toBe(0);
    expect(stored({}, {}, 'new').status).toBe('injected');
  });

  clusterTest('helm')('that names an UpstreamProxy gets it as soon as it is applied', async () => {
    const pod = {labels: {'sallyport.dev/inject': 'true'}, annotations: {'sallyport.dev/upstream-proxy': 'corp'}};
    expect(stored(pod)).toMatchObject({status: 'refused', message: expect.stringMatching(/no UpstreamProxy "corp"/)});
    const applied = cluster.kubectl(['apply', '-f', join(import.meta.dirname, 'testdata/proxies.yaml')]);
    expect(applied).toMatchObject({status: 0});
    const seen = await until(
      () => stored(pod),
      ({status}) => status !== 'refused',
    );
    expect(variable(seen.pod!.spec.containers[0]!, 'http_proxy')).toBe('http://10.1.2.3:3128');
  });
});

/** Makes a pod that stays. */
function make(
  name: string,
  metadata: {labels?: object; annotations?: object},
  namespace = 'default',
  spec: object = {},
): void {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name, namespace, ...metadata},
    spec: {
      containers: [{name: 'app', image: 'a'}],
      serviceAccountName: 'default',
      automountServiceAccountToken: false,
      ...spec,
    },
  };
  expect(cluster.kubectl(['create', '-f', '-'], JSON.stringify(pod))).toMatchObject({status: 0});
}

const read = (name: string, namespace = 'default'): Pod =>
  JSON.parse(cluster.kubectl(['get', 'pod', name, '-n', namespace, '-o', 'json']).stdout) as Pod;

/** Adds containers as `kubectl debug` does; `labels` are sent along by somebody who would like them to count. */
function debug(
  name: string,
  ephemeralContainers: readonly object[],
  labels?: object,
): {message: string; pod: Pod | null} {
  const pod = read(name) as Pod & {status?: unknown};
  const replaced = {
    ...pod,
    metadata: {...pod.metadata, ...(labels === undefined ? {} : {labels})},
    spec: {...pod.spec, ephemeralContainers: [...(pod.spec.ephemeralContainers ?? []), ...ephemeralContainers]},
  };
  const path = `/api/v1/namespaces/default/pods/${name}/ephemeralcontainers`;
  const ran = cluster.kubectl(['replace', '--raw', path, '-f', '-'], JSON.stringify(replaced));
  return ran.status === 0 ? {message: '', pod: JSON.parse(ran.stdout) as Pod} : {message: ran.stderr, pod: null};
}

const debugContainer = (name: string, more: object = {}): object => ({name, image: 'example/debug', ...more});
const lastOf = (pod: Pod | null): Container => pod!.spec.ephemeralContainers!.at(-1)!;

describe('an ephemeral container', () => {
  const netRaw = {securityContext: {capabilities: {add: ['NET_RAW']}}};
  const tproxy = {'sallyport.dev/mode': 'tproxy'};

  clusterTest('helm')(
    'of a captured pod has no raw sockets and trusts the CA, and one that adds them is refused',
    () => {
      make('guarded', {labels: tproxy});
      expect(debug('guarded', [debugContainer('one', netRaw)]).message).toMatch(/container one adds NET_RAW/);
      const added = lastOf(debug('guarded', [debugContainer('one')]).pod);
      expect(added.securityContext).toEqual({capabilities: {drop: ['NET_RAW']}});
      expect(variable(added, 'NODE_EXTRA_CA_CERTS')).toBe('/etc/sallyport/trust/added.crt');
      expect(added.volumeMounts).toContainEqual({
        ...{name: 'sallyport-trust', mountPath: '/etc/sallyport/trust', readOnly: true},
      });
    },
  );

  clusterTest('helm')('sent along with labels that ask for nothing is judged by those that the pod has', () => {
    make('pretends', {labels: tproxy});
    expect(debug('pretends', [debugContainer('one', netRaw)], {app: 'free'}).message).toMatch(
      /container one adds NET_RAW/,
    );
    const {pod} = debug('pretends', [debugContainer('one')], {app: 'free'});
    expect(lastOf(pod).securityContext).toEqual({capabilities: {drop: ['NET_RAW']}});
    expect(pod!.metadata.labels).toEqual(tproxy);
  });

  clusterTest('helm')('of a pod that is told of its proxy is told too, and those that run are left as they are', () => {
    make('told', {labels: {'sallyport.dev/inject': 'true'}, annotations: {'sallyport.dev/system-trust': 'true'}});
    expect(variable(lastOf(debug('told', [debugContainer('one')]).pod), 'https_proxy')).toBe(
      'http://$(SALLYPORT_NODE_IP):15081',
    );
    // The API server refuses every change of one that runs: what we would set today must not stand in its way.
    const annotated = cluster.kubectl(['annotate', 'pod', 'told', 'sallyport.dev/all-proxy=true']);
    expect(annotated).toMatchObject({status: 0});
    const {pod, message} = debug('told', [debugContainer('two')]);
    expect(message).toBe('');
    expect(variable(lastOf(pod), 'all_proxy')).toBe('http://$(SALLYPORT_NODE_IP):15081');
    expect(variable(pod!.spec.ephemeralContainers![0]!, 'all_proxy')).toBeUndefined();
  });

  clusterTest('helm')('of a pod that runs without the trust volume cannot mount it, and starts all the same', () => {
    make('late', {});
    expect(cluster.kubectl(['label', 'pod', 'late', 'sallyport.dev/inject=true'])).toMatchObject({status: 0});
    const added = lastOf(debug('late', [debugContainer('one')]).pod);
    expect(variable(added, 'https_proxy')).toBe('http://$(SALLYPORT_NODE_IP):15081');
    expect(added.volumeMounts).toBeUndefined();
  });
});

describe('a captured pod that runs', () => {
  clusterTest('helm')('cannot be talked out of its guard by its labels, and may change others', () => {
    make('latched', {labels: {'sallyport.dev/mode': 'tproxy'}});
    for (const change of ['sallyport.dev/mode-', 'sallyport.dev/inject=false', 'sallyport.dev/mode=proxy-env'])
      expect(cluster.kubectl(['label', '--overwrite', 'pod', 'latched', change])).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/made with sallyport\.dev\/mode: tproxy, which holds until it ends/),
      });
    expect(cluster.kubectl(['label', 'pod', 'latched', 'version=2'])).toMatchObject({status: 0});
    expect(cluster.kubectl(['delete', 'pod', 'latched', '--now'])).toMatchObject({status: 0});
  });

  clusterTest('helm')(
    "that captures itself cannot be given another program for our containers, only for its author's",
    () => {
      const labels = {'sallyport.dev/mode': 'tproxy', 'sallyport.dev/capture': 'pod'};
      const init = {initContainers: [{name: 'migrate', image: 'example/migrate'}], securityContext: {runAsUser: 1000}};
      make('self', {labels}, 'default', init);
      const image = (name: string): Ran => cluster.kubectl(['set', 'image', 'pod/self', `${name}=example/mine`]);
      for (const name of ['sallyport-capture', 'sallyport-proxy', 'sallyport-guard'])
        expect(image(name)).toMatchObject({
          status: 1,
          stderr: expect.stringContaining(`the image of ${name} is ours`),
        });
      expect(image('migrate')).toMatchObject({status: 0});
      expect(image('app')).toMatchObject({status: 0});
    },
  );

  clusterTest('helm')('that captures itself lets nobody start a program as its proxy', async () => {
    make('asked', {});
    const exec = (name: string): Ran => cluster.kubectl(['exec', 'asked', '-c', name, '--', 'true']);
    // The API server reads its policies from a watch of its own.
    for (const name of ['sallyport-capture', 'sallyport-proxy'])
      await until(
        () => exec(name),
        ({stderr}) => stderr.includes('sallyport-exec'),
      );
    expect(exec('app').stderr).not.toContain('sallyport-exec');
  });

  clusterTest('helm')(
    'by an annotation is so by a label too: its namespace can change its mind only for pods to come',
    () => {
      const namespace = {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: {name: 'fickle', labels: {'sallyport.dev/injection': 'enabled'}},
      };
      expect(cluster.kubectl(['create', '-f', '-'], JSON.stringify(namespace)).status).toBe(0);
      expect(cluster.kubectl(['create', 'serviceaccount', 'default', '-n', 'fickle']).status).toBe(0);
      make('annotated', {annotations: {'initializer.kubernetes.io/tproxy': 'true'}}, 'fickle');
      expect(cluster.kubectl(['label', 'namespace', 'fickle', 'sallyport.dev/injection-']).status).toBe(0);
      expect(read('annotated', 'fickle').metadata.labels).toEqual({'sallyport.dev/mode': 'tproxy'});
      const free = ['annotate', '-n', 'fickle', 'pod', 'annotated', 'initializer.kubernetes.io/tproxy-'];
      expect(cluster.kubectl(free)).toMatchObject({status: 0, stderr: ''});
      const label = ['label', '-n', 'fickle', 'pod', 'annotated', 'sallyport.dev/mode-'];
      expect(cluster.kubectl(label).stderr).toMatch(/which holds until it ends/);
    },
  );
});

/** Another injector, whose configuration's name comes after ours: to a pod that says so it adds a container. Ends with the test. */
async function withOtherInjector(use: () => Promise<void>): Promise<void> {
  const {chainPem, keyPem} = mint.mint('127.0.0.1');
  const server = createServer({cert: chainPem, key: keyPem}, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const review = JSON.parse(Buffer.concat(chunks).toString()) as {request: {uid: string; object: Pod}};
      const {uid, object} = review.request;
      const there = object.spec.containers.some(({name}) => name === 'late');
      const patch = [{op: 'add', path: '/spec/containers/-', value: {name: 'late', image: 'example/late'}}];
      const answer = {
        ...{uid, allowed: true},
        ...(there ? {} : {patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64')}),
      };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer}));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const configuration = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: {name: 'zz-other'},
    webhooks: [
      {
        name: 'other.example.com',
        clientConfig: asked((server.address() as AddressInfo).port, '/'),
        objectSelector: {matchLabels: {other: 'wanted'}},
        rules: [{operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods']}],
        ...{failurePolicy: 'Fail', sideEffects: 'None', admissionReviewVersions: ['v1']},
      },
    ],
  };
  try {
    expect(cluster.kubectl(['create', '-f', '-'], JSON.stringify(configuration))).toMatchObject({status: 0});
    await use();
  } finally {
    cluster.kubectl(['delete', 'mutatingwebhookconfiguration', 'zz-other']);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** As `stored`, while this process answers the API server. */
function storedMeanwhile(pod: object): Promise<Pod> {
  return new Promise((resolve, reject) => {
    const argv = ['--kubeconfig', cluster.kubeconfig, 'create', '--dry-run=server', '-o', 'json', '-f', '-'];
    const ran = execFile(programPath('kubectl')!, argv, {timeout: 2 * WITHIN_MS}, (error, stdout) =>
      error === null ? resolve(JSON.parse(stdout) as Pod) : reject(new Error(error.message)),
    );
    ran.stdin!.end(JSON.stringify(pod));
  });
}

clusterTest('helm')(
  'a container that another injector adds after us is told too, however the pod asked for us',
  async () => {
    const namespace = {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {name: 'both', labels: {'sallyport.dev/injection': 'enabled'}},
    };
    expect(cluster.kubectl(['create', '-f', '-'], JSON.stringify(namespace)).status).toBe(0);
    expect(cluster.kubectl(['create', 'serviceaccount', 'default', '-n', 'both']).status).toBe(0);
    await withOtherInjector(async () => {
      for (const metadata of [
        {labels: {'sallyport.dev/inject': 'true', other: 'wanted'}},
        {labels: {'sallyport.dev/mode': 'proxy-env', other: 'wanted'}},
        {labels: {other: 'wanted'}, annotations: {'sallyport.dev/mode': 'proxy-env'}},
      ]) {
        const pod = {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: {name: 'web', namespace: 'both', ...metadata},
          spec: {containers: [{name: 'app', image: 'a'}], serviceAccountName: 'default'},
        };
        // The API server reads its webhooks from a watch of its own.
        const made = await until(
          () => storedMeanwhile(pod),
          ({spec}) => spec.containers.length === 2,
        );
        expect(made.spec.containers.map((container) => [container.name, variable(container, 'http_proxy')])).toEqual([
          ['app', 'http://$(SALLYPORT_NODE_IP):15081'],
          ['late', 'http://$(SALLYPORT_NODE_IP):15081'],
        ]);
      }
    });
  },
  60_000,
);

clusterTest('helm')(
  'a pod that is stored is patched no more: what the API server fills in changes nothing for us',
  () => {
    make('whole', {labels: {'sallyport.dev/inject': 'true'}, annotations: {'sallyport.dev/system-trust': 'true'}});
    const stored = read('whole');
    const again = {
      ...stored,
      metadata: {...stored.metadata, name: 'again', uid: undefined, resourceVersion: undefined},
    };
    const made = cluster.kubectl(['create', '-o', 'json', '-f', '-'], JSON.stringify(again));
    expect((JSON.parse(made.stdout) as Pod).spec).toEqual(stored.spec);
  },
);

clusterTest('helm')('whoever only calls a pod a mirror of a static one has it injected', () => {
  const mirror = {'kubernetes.io/config.mirror': 'x'};
  const own = {serviceAccountName: undefined};
  const {message} = stored(
    {labels: {'sallyport.dev/mode': 'tproxy'}, annotations: mirror},
    {...own, hostNetwork: true},
  );
  expect(message).toMatch(/Leave hostNetwork out/);
});

clusterTest('helm')('a template is not touched: its pods are', () => {
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {name: 'web', namespace: 'default', labels: {'sallyport.dev/inject': 'true'}},
    spec: {
      selector: {matchLabels: {app: 'web'}},
      template: {
        metadata: {labels: {app: 'web', 'sallyport.dev/inject': 'true'}},
        spec: {containers: [{name: 'app', image: 'a'}]},
      },
    },
  };
  const made = cluster.kubectl(['create', '--dry-run=server', '-o', 'json', '-f', '-'], JSON.stringify(deployment));
  const {spec} = JSON.parse(made.stdout) as {spec: {template: Pod}};
  expect(spec.template.spec.containers[0]!.env).toBeUndefined();
});

clusterTest('helm')(
  'a new certificate and a new configuration are taken over while it runs; a bad one is not',
  async () => {
    serveWith('127.0.0.1');
    await logged('tls.loaded');
    writeFileSync(join(dir, 'config.yaml'), 'defaultMode: sidecar\n');
    await logged('configuration.failed');
    expect(stored({labels: {'sallyport.dev/inject': 'true'}}).status).toBe('injected');
    writeFileSync(join(dir, 'config.yaml'), 'defaultMode: tproxy\n');
    await logged('configuration.loaded');
    const {pod} = stored({labels: {'sallyport.dev/inject': 'true', round: '2'}});
    expect(pod!.metadata.annotations!['sallyport.dev/status']).toContain('"mode":"tproxy"');
  },
  60_000,
);
