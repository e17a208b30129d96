/** A real one-node Kubernetes: up in half a minute where its programs and images are there, gone without a trace. */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {kubeconfigOf, makePki, programOf, startApiServer, startControllers, startEtcd} from './control.ts';
import {makeImages, type Image} from './images.ts';
import {startMachine, type Machine, type Ran} from './machine.ts';
import {allowPodsOut, containerdSocket, startContainerd, startKubelet, startKubeProxy} from './node.ts';
import {NODE} from './addresses.ts';

export interface Cluster {
  readonly machine: Machine;
  /** kubectl as the administrator; `input` is its stdin. */
  kubectl(argv: readonly string[], input?: string): Promise<Ran>;
  /** kubectl that must succeed; its output. Throws with what kubectl said. */
  must(argv: readonly string[], input?: string): Promise<string>;
  helm(argv: readonly string[]): Promise<Ran>;
  /** A container of a pod, as the two below name it. */
  containerOf(namespace: string, pod: string, container: string): Promise<string>;
  /** Runs a program in it without the API server. */
  inContainer(id: string, argv: readonly string[]): Promise<Ran>;
  /** SIGKILL to its first process. */
  killContainer(id: string): Promise<void>;
  importImages(images: readonly Image[]): Promise<void>;
  /** Ends everything on the machine at once and starts it again, as a power cut does. */
  reboot(): Promise<void>;
  stop(): Promise<void>;
}

const READY_TIMEOUT_MS = 180_000;
const POLL_MS = 200;

/** Rejects with the end of the logs where something does not come up; nothing is left behind then. */
export async function startCluster(say: (text: string) => void): Promise<Cluster> {
  const machine = await startMachine();
  try {
    say('certificates');
    makePki(machine);
    startEtcd(machine);
    startApiServer(machine);
    startContainerd(machine);
    const images = await makeImages(join(machine.dir, 'images'), say);
    const cluster = clusterOn(machine);
    await apiReady(cluster);
    startControllers(machine);
    await allowPodsOut(machine);
    await containerdReady(machine);
    say('images');
    await cluster.importImages(images);
    startKubelet(machine);
    startKubeProxy(machine);
    say('node');
    await until(
      'the node',
      async () => (await cluster.kubectl(['get', 'node', NODE.name])).status === 0,
      machine,
      'kubelet',
    );
    await cluster.must(['wait', '--for=condition=Ready', `node/${NODE.name}`, '--timeout=120s']);
    await cluster.must(['apply', '-f', '-'], readFileSync(join(import.meta.dirname, 'coredns.yaml'), 'utf8'));
    await cluster.must(['-n', 'kube-system', 'rollout', 'status', 'deployment/coredns', '--timeout=120s']);
    return cluster;
  } catch (error) {
    await machine.stop();
    throw error;
  }
}

function clusterOn(machine: Machine): Cluster {
  const admin = ['--kubeconfig', kubeconfigOf(machine, 'admin')];
  const kubectl = (argv: readonly string[], input = ''): Promise<Ran> =>
    machine.run([programOf('kubectl'), ...admin, ...argv], input);
  let execs = 0;
  const cluster: Cluster = {
    machine,
    kubectl,
    async must(argv, input) {
      const {status, stdout, stderr} = await kubectl(argv, input);
      if (status !== 0) throw new Error(`kubectl ${argv.join(' ')}: ${stderr}${stdout}`);
      return stdout;
    },
    helm: (argv) => machine.run([programOf('helm'), ...admin, ...argv]),
    containerOf: async (namespace, pod, container) => {
      const path = `{.status.containerStatuses[?(@.name=="${container}")].containerID}`;
      const id = await cluster.must(['-n', namespace, 'get', 'pod', pod, '-o', `jsonpath=${path}`]);
      return id.replace('containerd://', '');
    },
    inContainer: (id, argv) => ctr(machine, ['tasks', 'exec', '--exec-id', `e2e-${++execs}`, id, ...argv]),
    async killContainer(id) {
      const {status, stderr} = await ctr(machine, ['tasks', 'kill', '--signal', 'SIGKILL', id]);
      if (status !== 0) throw new Error(stderr);
    },
    async importImages(images) {
      for (const {name, tar} of images) {
        const {status, stderr} = await ctr(machine, ['images', 'import', tar]);
        if (status !== 0) throw new Error(`image ${name}: ${stderr}`);
      }
    },
    async reboot() {
      await machine.reset();
      startEtcd(machine);
      startApiServer(machine);
      startContainerd(machine);
      await apiReady(cluster);
      startControllers(machine);
      await allowPodsOut(machine);
      await containerdReady(machine);
      startKubelet(machine);
      startKubeProxy(machine);
    },
    stop: () => machine.stop(),
  };
  return cluster;
}

const apiReady = (cluster: Cluster): Promise<void> =>
  until(
    'the API server',
    async () => (await cluster.kubectl(['get', '--raw', '/readyz'])).stdout === 'ok',
    cluster.machine,
    'kube-apiserver',
  );

const containerdReady = (machine: Machine): Promise<void> =>
  until('containerd', async () => (await ctr(machine, ['version'])).status === 0, machine, 'containerd');

const ctr = (machine: Machine, argv: readonly string[]): Promise<Ran> =>
  machine.run(['ctr', '--address', containerdSocket(machine), '--namespace', 'k8s.io', ...argv]);

async function until(what: string, holds: () => Promise<boolean>, machine: Machine, log: string): Promise<void> {
  for (const deadline = Date.now() + READY_TIMEOUT_MS; !(await holds());) {
    if (Date.now() > deadline) throw new Error(`${what} did not come up:\n${machine.logOf(log).slice(-3_000)}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
