/**
 * A node's agent beside a real API server: how long after a pod's address is written its packets are held, with 250 pods on the
 * node; and what the watch of 5,000 pods costs, as extauthz holds it. Time is taken from when the write is sent, so that it has
 * the API server's own part in it; its end is the kernel's notification that the set has the address.
 */
import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';
import {join} from 'node:path';
import {CoreV1Api, KubeConfig, PatchStrategy, setHeaderOptions} from '@kubernetes/client-node';
import {clusterNode} from '../lab/cluster-node.ts';
import {programPath} from '../cluster/binaries.ts';
import {startControlPlane, type ControlPlane} from '../cluster/control-plane.ts';
import type {Table} from './tables.ts';

const PODS = 250;
const MEASURED = 50;
const APART_MS = 300;
const WATCHED = 5_000;
/** Requests that are under way at once. */
const AT_ONCE = 25;
const TITLE = 'Node agent';
const ROOT = join(import.meta.dirname, '../..');
const PATCH = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);

/** null where it cannot be measured here; `say` is told why. */
export async function benchNode(say: (text: string) => void): Promise<Table | null> {
  const missing = (['kube-apiserver', 'etcd', 'kubectl'] as const).filter((name) => programPath(name) === null);
  if (missing.length > 0) {
    say(`skip: the node's agent needs ${missing.join(', ')} (node cli/setup.mjs cluster builds them)`);
    return null;
  }
  const cluster = await startControlPlane();
  try {
    cluster.kubectl(['apply', '--server-side', '-f', join(ROOT, 'charts/sallyport/crds')]);
    cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
    cluster.kubectl(['create', 'serviceaccount', 'default']);
    const config = new KubeConfig();
    config.loadFromFile(cluster.kubeconfig);
    const api = config.makeApiClient(CoreV1Api);
    say(`${TITLE}: ${PODS} pods`);
    const capture = await captureMs(cluster, api);
    say(`${TITLE}: ${WATCHED} pods`);
    const watch = await watchMegabytes(cluster, api);
    const row = (what: string, value: string, aim: string): string[] => [what, value, aim];
    return {
      title: TITLE,
      columns: ['what', 'measured', 'aim'],
      rows: [
        row(`pod address written to captured, ${PODS} pods, median`, `${percentile(capture.apart, 0.5)} ms`, '50 ms'),
        row('the same, 99 of 100', `${percentile(capture.apart, 0.99)} ms`, ''),
        row('one pod directly after the other, median', `${percentile(capture.inARow, 0.5)} ms`, ''),
        row('the same, 99 of 100', `${percentile(capture.inARow, 0.99)} ms`, ''),
        row(`a process that watches ${WATCHED} pods`, `${watch.resident} MB`, '150 MB'),
        row('of it, the same process with the library loaded and no pod', `${watch.empty} MB`, ''),
      ],
    };
  } finally {
    await cluster.stop();
  }
}

const ipOf = (i: number): string => `10.77.${1 + Math.floor(i / 250)}.${1 + (i % 250)}`;

async function captureMs(cluster: ControlPlane, api: CoreV1Api): Promise<{apart: number[]; inARow: number[]}> {
  const node = await clusterNode({cluster, name: 'bench', kubeconfig: cluster.kubeconfig, sites: []});
  const all = PODS + MEASURED;
  try {
    const links = Array.from({length: all}, (_, i) => [
      ...[
        `link add bench${i} type veth peer name peer${i}`,
        `link set bench${i} up`,
        `route add ${ipOf(i)} dev bench${i}`,
      ],
    ]).flat();
    const made = await node.lab.exec('node', ['ip', '-batch', '-'], {stdin: `${links.join('\n')}\n`});
    if (made.status !== 0) throw new Error(made.stderr);
    const labels = {'sallyport.dev/mode': 'tproxy'};
    await each(all, (i) => createPod(api, `p-${i}`, 'bench', labels));
    await each(PODS, (i) => setAddress(api, `p-${i}`, ipOf(i)));
    const agent = await node.startAgent();
    await agent.logged(({event, message}) => event === 'capture.started' && message!.startsWith(`${PODS} addresses`));
    while ((await agent.ready()).status !== 200);
    const heard = new Map<string, () => void>();
    const monitor = node.lab.spawn('node', ['nft', 'monitor', 'new', 'elements']);
    createInterface({input: monitor.stdout!}).on('line', (line) => {
      if (!line.includes(' sallyport locked4 ')) return;
      for (const [, ip] of line.matchAll(/\. (10\.77\.\d+\.\d+)/g)) heard.get(ip!)?.();
    });
    // It says nothing when it has begun.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const measured = {apart: [] as number[], inARow: [] as number[]};
    for (let i = PODS; i < all; i++) {
      const inARow = i % 2 === 1;
      // What follows a change (connections cut, the rules compared) is over then.
      if (!inARow) await new Promise((resolve) => setTimeout(resolve, APART_MS));
      const held = new Promise<void>((resolve) => heard.set(ipOf(i), resolve));
      const from = performance.now();
      await setAddress(api, `p-${i}`, ipOf(i));
      await held;
      measured[inARow ? 'inARow' : 'apart'].push(performance.now() - from);
    }
    monitor.kill();
    return measured;
  } finally {
    await node.close();
  }
}

/** A process of its own, as the garbage of this one is not the watch's. */
async function watchMegabytes(cluster: ControlPlane, api: CoreV1Api): Promise<{resident: number; empty: number}> {
  await each(WATCHED, async (i) => {
    await createPod(api, `w-${i}`, `node-${i % 50}`, {app: `app-${i % 100}`, team: `team-${i % 10}`});
    await setAddress(api, `w-${i}`, `10.${100 + Math.floor(i / 62_500)}.${Math.floor(i / 250) % 250}.${1 + (i % 250)}`);
  });
  const program = join(import.meta.dirname, 'node-watch.ts');
  const child = spawn(process.execPath, ['--expose-gc', program, cluster.kubeconfig, String(WATCHED)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  return JSON.parse(text) as {resident: number; empty: number};
}

async function createPod(
  api: CoreV1Api,
  name: string,
  nodeName: string,
  labels: Record<string, string>,
): Promise<void> {
  const env = Array.from({length: 20}, (_, i) => ({name: `SETTING_${i}`, value: `value-${i}`}));
  const spec = {nodeName, containers: [{name: 'app', image: 'a', env}], automountServiceAccountToken: false};
  await api.createNamespacedPod({namespace: 'default', body: {metadata: {name, labels}, spec}});
}

async function setAddress(api: CoreV1Api, name: string, ip: string): Promise<void> {
  const body = {status: {phase: 'Running', podIP: ip, podIPs: [{ip}]}};
  await api.patchNamespacedPodStatus({namespace: 'default', name, body}, PATCH);
}

async function each(count: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({length: AT_ONCE}, worker));
}

function percentile(values: readonly number[], at: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))]!);
}
