/** The webhook in front of a real API server: pods are created by kubectl, and what is stored is looked at. */
import {spawn, type ChildProcess} from 'node:child_process';
import {createHash} from 'node:crypto';
import {mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {createLeafMint, ephemeralCa} from '../pki/index.ts';
import {startControlPlane, type ControlPlane} from '../test/cluster/control-plane.ts';
import {freePorts} from '../test/cluster/ports.ts';
import {clusterTest} from '../test/cluster/require.ts';
import type {Container, Pod} from './pod.ts';

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
  return new Promise((resolve) => {
    const look = (): void => {
      if (said.some((line) => line.includes(`"${event}"`))) resolve();
      else waiting.push(look);
    };
    look();
  });
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
      ...['--tls-cert', join(dir, 'tls.crt'), '--tls-key', join(dir, 'tls.key')],
    ],
    {stdio: ['ignore', 'pipe', 'inherit']},
  );
  createInterface(injector.stdout!).on('line', (line) => {
    said.push(line);
    for (const look of waiting.splice(0)) look();
  });
  await logged('injector.listening');
  expect(cluster.kubectl(['apply', '-f', '-'], JSON.stringify(webhooks())).status).toBe(0);
  expect(cluster.kubectl(['create', 'serviceaccount', 'default']).status).toBe(0);
  // The API server reads its webhooks from a watch of its own.
  for (const deadline = Date.now() + 30_000; stored({labels: {'sallyport.dev/inject': 'true'}}).status !== 'injected';)
    if (Date.now() > deadline) throw new Error('the webhook is not asked');
}, 180_000);

afterAll(async () => {
  if (injector !== undefined && injector.exitCode === null) {
    const ended = new Promise((resolve) => injector.once('exit', resolve));
    injector.kill('SIGTERM');
    await ended;
  }
  await cluster?.stop();
  if (dir !== undefined) rmSync(dir, {recursive: true, force: true});
});

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

function webhooks(): object {
  const of = (path: string): object => ({
    name: `${path}.sallyport.dev`,
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
  });
  const configuration = (kind: string, path: string): object => ({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind,
    metadata: {name: 'sallyport'},
    webhooks: [{...of(path), ...(path === 'mutate' ? {reinvocationPolicy: 'IfNeeded'} : {})}],
  });
  return {
    apiVersion: 'v1',
    kind: 'List',
    items: [
      configuration('MutatingWebhookConfiguration', 'mutate'),
      configuration('ValidatingWebhookConfiguration', 'validate'),
    ],
  };
}

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
  clusterTest()('with the label gets the proxy and the trust, in init containers too', () => {
    const init = {initContainers: [{name: 'migrate', image: 'example/migrate'}]};
    const {pod, status} = stored({labels: {'sallyport.dev/inject': 'true'}}, init);
    expect(status).toBe('injected');
    for (const container of [...pod!.spec.initContainers!, ...pod!.spec.containers]) {
      expect(variable(container, 'HTTPS_PROXY')).toBe('http://$(SALLYPORT_NODE_IP):15081');
      expect(variable(container, 'no_proxy')).toContain('10.96.0.0/12');
      expect(variable(container, 'NODE_EXTRA_CA_CERTS')).toBe('/etc/sallyport/trust/ca.crt');
    }
  });

  clusterTest()('without it is stored as it was', () => {
    expect(stored({}).status).toBe('as it was');
  });

  clusterTest()('with a word that does not exist is refused with the words that do', () => {
    expect(stored({labels: {'sallyport.dev/mode': 'proxy'}})).toMatchObject({
      status: 'refused',
      message: expect.stringMatching(/sallyport: .*write one of tproxy, proxy-env, mesh/),
    });
  });

  clusterTest()('captured and privileged is refused with what to change', () => {
    const privileged = {containers: [{name: 'app', image: 'a', securityContext: {privileged: true}}]};
    expect(stored({labels: {'sallyport.dev/mode': 'tproxy'}}, privileged)).toMatchObject({
      status: 'refused',
      message: expect.stringMatching(/container app is privileged: .*Leave privileged out/),
    });
  });

  clusterTest()('in a namespace that was just made is judged by its labels', () => {
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

  clusterTest()('that names an UpstreamProxy gets it as soon as it is applied', async () => {
    const pod = {labels: {'sallyport.dev/inject': 'true'}, annotations: {'sallyport.dev/upstream-proxy': 'corp'}};
    expect(stored(pod)).toMatchObject({status: 'refused', message: expect.stringMatching(/no UpstreamProxy "corp"/)});
    const applied = cluster.kubectl(['apply', '-f', join(import.meta.dirname, 'testdata/proxies.yaml')]);
    expect(applied).toMatchObject({status: 0});
    let seen = stored(pod);
    for (const deadline = Date.now() + 10_000; seen.status === 'refused' && Date.now() < deadline;) seen = stored(pod);
    expect(variable(seen.pod!.spec.containers[0]!, 'http_proxy')).toBe('http://10.1.2.3:3128');
  });
});

describe('an ephemeral container', () => {
  const added = (securityContext: object) => {
    const ephemeralContainers = [{name: 'debug', image: 'example/debug', securityContext}];
    return cluster.kubectl([
      ...['patch', 'pod', 'guarded', '--subresource=ephemeralcontainers', '--type=merge', '-o', 'json'],
      ...['-p', JSON.stringify({spec: {ephemeralContainers}})],
    ]);
  };

  clusterTest()('of a captured pod has no raw sockets, and one that adds them is refused', () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {name: 'guarded', namespace: 'default', labels: {'sallyport.dev/mode': 'tproxy'}},
      spec: {
        containers: [{name: 'app', image: 'a'}],
        serviceAccountName: 'default',
        automountServiceAccountToken: false,
      },
    };
    expect(cluster.kubectl(['create', '-f', '-'], JSON.stringify(pod))).toMatchObject({status: 0});
    expect(added({capabilities: {add: ['NET_RAW']}}).stderr).toMatch(/container debug adds NET_RAW/);
    const made = JSON.parse(added({}).stdout) as Pod;
    expect(made.spec.ephemeralContainers![0]!.securityContext).toEqual({capabilities: {drop: ['NET_RAW']}});
  });
});

clusterTest()(
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
