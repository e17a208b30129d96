/**
 * The admission webhook: what a patch costs by itself, and how long the API server waits for one. The server is the real
 * process beside a real API server, whose namespaces it watches; the reviews come by HTTPS over kept connections, at the pace
 * of a busy cluster.
 */
import {spawn} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {Agent, request as httpsRequest} from 'node:https';
import {availableParallelism, tmpdir} from 'node:os';
import {join} from 'node:path';
import {parse} from 'yaml';
import {inject} from '../../injector/inject.ts';
import {patchOf} from '../../injector/patch.ts';
import type {Namespace, Pod} from '../../injector/pod.ts';
import {readInstallation} from '../../injector/settings.ts';
import {createLeafMint, ephemeralCa} from '../../pki/index.ts';
import {programPath} from '../cluster/binaries.ts';
import {startControlPlane} from '../cluster/control-plane.ts';
import {freePorts} from '../cluster/ports.ts';
import type {Aim} from './check.ts';
import {usage} from './processes.ts';
import type {Table} from './tables.ts';

const PER_SECOND = 200;
/** As many as an API server has open at this pace. */
const CONNECTIONS = 8;
const WARM_UP = 2_000;
const START_TIMEOUT_MS = 60_000;
const PATCHES = 5_000;
const TITLE = 'Admission webhook';
const ROOT = join(import.meta.dirname, '../..');
const TESTDATA = join(ROOT, 'injector/testdata');

const CONFIG = readFileSync(join(TESTDATA, 'installation.yaml'), 'utf8');
const NAMESPACE: Namespace = {name: 'default', labels: {}, annotations: {}};

/** Five containers: Istio's two of its classic kind, a migration, a program and a helper of its author's with variables. */
function fiveContainers(mode: string): Pod {
  const pod = parse(readFileSync(join(TESTDATA, 'istio-classic.yaml'), 'utf8')) as Pod;
  const env = Array.from({length: 30}, (_, i) => ({name: `SETTING_${i}`, value: `value-${i}`}));
  pod.metadata = {...pod.metadata, namespace: 'default', labels: {...pod.metadata.labels, 'sallyport.dev/mode': mode}};
  while (pod.spec.containers.length + (pod.spec.initContainers ?? []).length < 5)
    pod.spec.containers.push({name: `helper-${pod.spec.containers.length}`, image: 'example/helper', env});
  return pod;
}

/** null where it cannot be measured here; `say` is told why. */
export async function benchAdmission(seconds: number, say: (text: string) => void): Promise<Table | null> {
  const patch = patchMs();
  const missing = (['kube-apiserver', 'etcd', 'kubectl'] as const).filter((name) => programPath(name) === null);
  if (missing.length > 0) {
    say(`skip: the webhook needs ${missing.join(', ')} (node cli/setup.mjs cluster builds them)`);
    return null;
  }
  const cluster = await startControlPlane();
  // It answers nobody before it knows the UpstreamProxies that pods may name.
  cluster.kubectl(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]);
  cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-bench-admission-'));
  const [port] = (await freePorts(1)) as [number];
  const {chainPem, keyPem} = createLeafMint({ca: ephemeralCa()}).mint('127.0.0.1');
  const files = {'tls.crt': chainPem, 'tls.key': keyPem, 'config.yaml': CONFIG};
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  const pinned = availableParallelism() > 1 ? ['taskset', '-c', '0'] : [];
  const [program, ...argv] = [
    ...pinned,
    ...[process.execPath, join(ROOT, 'cli/main.ts'), 'injector', '--kubeconfig', cluster.kubeconfig],
    ...['--config', join(dir, 'config.yaml'), '--listen', `127.0.0.1:${port}`, '--admin', '127.0.0.1:0'],
    ...['--tls-cert', join(dir, 'tls.crt'), '--tls-key', join(dir, 'tls.key'), '--drain-deadline', '0'],
    ...['--log-format', 'json'],
  ];
  const child = spawn(program!, argv, {stdio: ['ignore', 'pipe', 'inherit']});
  try {
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (text: Buffer) => text.includes('injector.listening') && resolve());
      child.once('exit', (code) => reject(new Error(`the injector ended with ${code}`)));
      setTimeout(() => reject(new Error('the injector does not listen')), START_TIMEOUT_MS).unref();
    });
    const body = JSON.stringify(review(fiveContainers('proxy-env')));
    const agent = new Agent({keepAlive: true, maxSockets: CONNECTIONS, rejectUnauthorized: false});
    await paced(agent, port, body, WARM_UP, PER_SECOND);
    const before = usage(child.pid!);
    const requests = PER_SECOND * seconds;
    const tookMs = (await paced(agent, port, body, requests, PER_SECOND)).sort((a, b) => a - b);
    const after = usage(child.pid!);
    agent.destroy();
    const at = (part: number): string => tookMs[Math.min(requests - 1, Math.floor(requests * part))]!.toFixed(2);
    return {
      title: `${TITLE}: a pod of five containers, ${PER_SECOND} reviews/s, the server on one core`,
      columns: ['patch ms', 'p50 ms', 'p99 ms', 'slowest ms', 'CPU µs/review', 'memory MB', 'review kB', 'reviews'],
      rows: [
        [
          patch.toFixed(3),
          ...[at(0.5), at(0.99), at(1)],
          ((after.cpuUs - before.cpuUs) / requests).toFixed(0),
          Math.round(after.residentBytes / 1e6),
          (body.length / 1000).toFixed(1),
          requests,
        ],
      ],
    };
  } finally {
    child.removeAllListeners('exit');
    const ended = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode === null && child.kill('SIGTERM')) await ended;
    await cluster.stop();
    rmSync(dir, {recursive: true, force: true});
  }
}

/** What issue 6 asks for. */
export function admissionAims(tables: readonly Table[]): Aim[] {
  const table = tables.find(({title}) => title.startsWith(TITLE));
  const of = (column: string): number | null =>
    table === undefined ? null : Number(table.rows[0]![table.columns.indexOf(column)]);
  return [
    {what: 'a patch computed', measured: of('patch ms'), limit: 1, unit: 'ms'},
    {what: `p99 of an admission at ${PER_SECOND}/s`, measured: of('p99 ms'), limit: 5, unit: 'ms'},
  ];
}

/** Mean of one patch, from the parsed pod to the operations. */
function patchMs(): number {
  const installation = readInstallation('installation.yaml', CONFIG, new Map()).value!;
  const pod = fiveContainers('proxy-env');
  const one = (): void => {
    const result = inject(pod, NAMESPACE, installation);
    if (result.kind !== 'inject' || patchOf(pod, result.pod).length === 0) throw new Error('the pod is not injected');
  };
  for (let i = 0; i < WARM_UP; i++) one();
  const since = performance.now();
  for (let i = 0; i < PATCHES; i++) one();
  return (performance.now() - since) / PATCHES;
}

function review(pod: Pod): object {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      ...{uid: '00000000-0000-4000-8000-000000000001', operation: 'CREATE', namespace: 'default', object: pod},
      ...{kind: {group: '', version: 'v1', kind: 'Pod'}, resource: {group: '', version: 'v1', resource: 'pods'}},
      ...{userInfo: {username: 'system:serviceaccount:kube-system:replicaset-controller'}, dryRun: false},
    },
  };
}

/**
 * So many reviews, each begun at its time whether or not the ones before it are answered: a slow answer delays none, and is
 * counted from when it was due. Milliseconds, in no order.
 */
async function paced(agent: Agent, port: number, body: string, count: number, perSecond: number): Promise<number[]> {
  const begin = performance.now();
  const took: Promise<number>[] = [];
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const now = performance.now();
      while (took.length < count && begin + (took.length * 1000) / perSecond <= now)
        took.push(ask(agent, port, body, begin + (took.length * 1000) / perSecond));
      if (took.length < count) return;
      clearInterval(timer);
      resolve();
    }, 1);
  });
  return Promise.all(took);
}

function ask(agent: Agent, port: number, body: string, dueMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {'content-type': 'application/json', 'content-length': Buffer.byteLength(body)};
    const asked = httpsRequest(
      {agent, host: '127.0.0.1', port, path: '/mutate?timeout=10s', method: 'POST', headers},
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => {
          if (response.statusCode !== 200 || !text.includes('"patchType":"JSONPatch"'))
            reject(new Error(`${response.statusCode}: ${text.slice(0, 500)}`));
          else resolve(performance.now() - dueMs);
        });
      },
    );
    asked.on('error', reject);
    asked.end(body);
  });
}
