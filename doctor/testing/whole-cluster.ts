/** A cluster where all is well, for doctor's tests: real API server, injector and controller; and how one thing of it is broken. */
import {spawn} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from '@jest/globals';
import {createLeafMint, ephemeralCa} from '../../pki/index.ts';
import {SILENT_AFTER_MS} from '../../cluster/node-report/report.ts';
import {VERSION} from '../../runtime/version.ts';
import {startControlPlane, type ControlPlane, type Ran} from '../../test/cluster/control-plane.ts';
import {freePorts} from '../../test/cluster/ports.ts';
import {startRole, type Role} from '../../test/cluster/role.ts';

export const ROOT = join(import.meta.dirname, '../..');
export const TIMEOUT_MS = 120_000;

export interface Line {
  readonly check: string;
  readonly verdict: 'ok' | 'warn' | 'FAIL';
  readonly looked: boolean;
  readonly found: string;
  readonly fix: string;
}

export let cluster: ControlPlane;
let dir: string;
let port: number;
export const roles: Role[] = [];
export const ca = ephemeralCa();

export function kubectl(argv: readonly string[], input?: object | string): Ran {
  return cluster.kubectl(argv, typeof input === 'object' ? JSON.stringify(input) : input);
}
export function done(argv: readonly string[], input?: object | string): void {
  expect({argv, ...kubectl(argv, input)}).toMatchObject({argv, status: 0});
}
export const apply = (object: object): void => done(['apply', '--server-side', '--force-conflicts', '-f', '-'], object);
/** The status of an object as its writer leaves it. */
export const applyStatus = (object: object): void =>
  done(['apply', '--server-side', '--force-conflicts', '--subresource=status', '-f', '-'], object);

export async function doctor(...argv: string[]): Promise<{status: number | null; stdout: string; stderr: string}> {
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
export async function lines(): Promise<Line[]> {
  keepHeard();
  const {stdout, stderr} = await doctor('-o', 'json');
  expect(stderr).toBe('');
  return (JSON.parse(stdout) as {checks: Line[]}).checks;
}
export async function line(check: string): Promise<Line> {
  return (await lines()).find((one) => one.check === check)!;
}

export const webhooks = (path: string, more: object = {}): object => ({
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
/** What the agent said last, and when. */
let said: {readonly more: object; readonly atMs: number} | null = null;
export function report(more: object = {}): object {
  said = {more, atMs: performance.now()};
  return {
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
  };
}

/** As the agent's own heartbeat: on a busy machine these tests take longer than a silence that is told. */
function keepHeard(): void {
  if (said !== null && performance.now() - said.atMs > SILENT_AFTER_MS / 4) applyStatus(report(said.more));
}

/** A control plane with our definitions, webhooks, injector and controller, and one node whose agent says that all is well. */
export async function startWhole(): Promise<void> {
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
}

export async function stopWhole(): Promise<void> {
  for (const role of roles.reverse()) await role.stop();
  await cluster?.stop();
  if (dir !== undefined) rmSync(dir, {recursive: true, force: true});
}

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
export const policy = (name: string, rules: object[]): object => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name, namespace: 'default'},
  spec: {podSelector: {}, rules},
});

/** Until every check is ok: the API server's and the controller's copies follow in their own time. */
export async function well(): Promise<void> {
  for (const until = Date.now() + TIMEOUT_MS / 2; ;) {
    const ill = (await lines()).filter(({verdict}) => verdict !== 'ok');
    if (ill.length === 0) return;
    if (Date.now() > until) throw new Error(JSON.stringify(ill, null, 1));
  }
}
/** The first report in which the check is not ok. */
export async function unwell(check: string): Promise<Line> {
  for (const until = Date.now() + TIMEOUT_MS / 2; ;) {
    const found = await line(check);
    if (found.verdict !== 'ok' || Date.now() > until) return found;
  }
}

/** Breaks one thing, tells what doctor says of it, and puts it back. */
export async function whileBroken(check: string, broken: () => void, repair: () => void): Promise<Line> {
  try {
    broken();
    return await unwell(check);
  } finally {
    repair();
    await well();
  }
}
export const patch = (what: readonly string[], body: object): void =>
  done(['patch', ...what, '--type=merge', '-p', JSON.stringify(body)]);
