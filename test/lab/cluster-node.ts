/** A node of a real API server in a lab: pods are namespaces and objects alike, and the agent runs as on any node. */
import type {ChildProcess} from 'node:child_process';
import {mkdtempSync, rmSync} from 'node:fs';
import {createServer as createHttpServer} from 'node:http';
import {connect, createServer, type Server, type Socket} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {openCa} from '../../pki/index.ts';
import {NOT_READY_TAINT} from '../../runtime/names.ts';
import {tproxyCommand} from '../../cli/demo/proxy-process.ts';
import type {ControlPlane} from '../cluster/control-plane.ts';
import {within, WITHIN_MS} from '../waiting.ts';
import {createLab, type Lab, type LabPod} from './lab.ts';
import {endServer, listenIn} from './sockets.ts';

export interface PodSpec {
  readonly namespace?: string;
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Names of containers beside `app`. */
  readonly containers?: readonly string[];
}

export interface JournalLine {
  readonly event: string;
  readonly message?: string;
  readonly [field: string]: unknown;
}

export interface Agent {
  readonly child: ChildProcess;
  readonly journal: readonly JournalLine[];
  /** The first line that fits, now or later. Rejects with what it said where the agent ends first, or it does not come. */
  logged(fits: (line: JournalLine) => boolean): Promise<JournalLine>;
  /** Its stderr so far, and the last lines of its journal. */
  readonly said: () => string;
  /** /readyz; status 0 where it does not answer. */
  readonly ready: () => Promise<{readonly status: number; readonly body: Record<string, unknown>}>;
  /** SIGTERM, or what is said; resolves when it has ended. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface ClusterNode {
  readonly lab: Lab;
  /** The Node object's name. */
  readonly name: string;
  readonly dir: string;
  /** Starts the agent on the node, as `kubeconfig`'s user. Resolves when it runs, whatever it knows. */
  startAgent(...flags: readonly string[]): Promise<Agent>;
  /** As startAgent(), behind a command that becomes the agent (exec): `env PATH=...`. */
  startAgentUnder(under: readonly string[], ...flags: readonly string[]): Promise<Agent>;
  /** The pod's object, without an address. */
  createPod(pod: PodSpec): void;
  /** Plugs the pod in: its namespace, veth and addresses. */
  plugIn(name: string, ips?: readonly string[]): Promise<LabPod>;
  /** What the kubelet writes when the sandbox is there. */
  setAddress(pod: PodSpec, ips: readonly string[], phase?: string): void;
  /** Its interface goes, as when the runtime has ended it. */
  unplug(name: string): Promise<void>;
  /** The API server cannot be reached from the node any more, or again. */
  cutOff(cut: boolean): void;
  /** All three. */
  startPod(pod: PodSpec): Promise<LabPod>;
  /** `200`, another status, or `curl exit N`: 28 where nothing came back in CURL_TIMEOUT_S, or in what `-m` of `more` says. */
  curl(pod: string, url: string, more?: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

export interface ClusterNodeOptions {
  readonly cluster: ControlPlane;
  /** A few letters; the Node is called so too. */
  readonly name: string;
  /** Of the agent. */
  readonly kubeconfig: string;
  /** Addresses of the internet where a web server answers `200`. */
  readonly sites: readonly string[];
}

const RESOLVER = '9.9.9.9';
/** Of what is answered, however busy the machine is. */
const CURL_TIMEOUT_S = 20;
/** The last lines of the journal that an error shows. */
const SHOWN_LINES = 40;
/** The lab's pods have these. */
const PODS = ['10.77.0.0/24', 'fd77::/64'];

export async function clusterNode({cluster, name, kubeconfig, sites}: ClusterNodeOptions): Promise<ClusterNode> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-node-'));
  const lab = await createLab({name, pods: []});
  const servers: Server[] = [];
  const agents: Agent[] = [];
  const serve = async (server: Server, path: string, ip: string, port: number): Promise<void> => {
    await listenIn(path, server, ip, port);
    servers.push(server);
  };
  const carried = new Set<Socket>();
  let cut = false;
  const api = new URL(cluster.url);
  // The API server is on this machine's loopback; on the lab's node it answers at the same address.
  await serve(
    createServer((socket) => {
      if (cut) return void socket.resetAndDestroy();
      const onward = connect(Number(api.port), api.hostname);
      for (const side of [socket, onward]) {
        carried.add(side);
        side.once('close', () => carried.delete(side));
      }
      const end = (): void => {
        socket.destroy();
        onward.destroy();
      };
      for (const side of [socket, onward]) side.on('error', end).on('close', end);
      socket.pipe(onward).pipe(socket);
    }),
    ...([lab.node.path, api.hostname, Number(api.port)] as const),
  );
  await lab.internet.addAddress(RESOLVER, ...sites);
  for (const site of sites)
    await serve(
      createHttpServer((_, response) => response.end('hello')),
      lab.internet.path,
      site,
      80,
    );
  lab.setResolver('node', RESOLVER);
  const done = (argv: readonly string[], input?: string): void => {
    const {status, stderr} = cluster.kubectl(argv, input);
    if (status !== 0) throw new Error(`kubectl ${argv.join(' ')}: ${stderr}`);
  };
  // An operator's own CA: no controller is here that would sign one.
  openCa({dir: join(dir, 'ca')});
  const taints = [{key: NOT_READY_TAINT, effect: 'NoSchedule'}];
  const spec = {podCIDR: PODS[0], podCIDRs: PODS, taints};
  done(['apply', '-f', '-'], JSON.stringify({apiVersion: 'v1', kind: 'Node', metadata: {name}, spec}));

  const node: ClusterNode = {
    ...{lab, name, dir},
    startAgent: (...flags) => node.startAgentUnder([], ...flags),
    async startAgentUnder(under, ...flags) {
      const agent = start(lab, under, [
        ...[
          '--kubeconfig',
          kubeconfig,
          '--node-name',
          name,
          '--capture',
          'node',
          '--ca-dir',
          join(dir, 'ca'),
          '--state-dir',
          join(dir, 'state'),
        ],
        ...['--workers', '1', '--resolver', RESOLVER, '--log-format', 'json', ...flags],
      ]);
      agents.push(agent);
      await agent.logged(({event}) => event === 'tproxy.listening');
      return agent;
    },
    createPod({namespace = 'default', name: podName, labels, annotations, containers = []}) {
      const spec = {
        nodeName: name,
        containers: ['app', ...containers].map((container) => ({name: container, image: 'a'})),
        automountServiceAccountToken: false,
      };
      const metadata = {name: podName, namespace, labels, annotations};
      done(['apply', '-f', '-'], JSON.stringify({apiVersion: 'v1', kind: 'Pod', metadata, spec}));
    },
    plugIn: (podName, ips) => lab.addPod({name: podName, ...(ips === undefined ? {} : {ips})}),
    setAddress({namespace = 'default', name: podName}, ips, phase = 'Running') {
      const status = {phase, podIP: ips[0] ?? null, podIPs: ips.map((ip) => ({ip}))};
      done([
        ...['patch', 'pod', '-n', namespace, podName, '--subresource=status', '--type=merge', '-p'],
        JSON.stringify({status}),
      ]);
    },
    async unplug(podName) {
      const {status, stderr} = await lab.exec('node', ['ip', 'link', 'delete', lab.pod(podName).port]);
      if (status !== 0) throw new Error(stderr);
    },
    cutOff(now) {
      cut = now;
      if (now) for (const side of carried) side.resetAndDestroy();
    },
    async startPod(pod) {
      node.createPod(pod);
      const plugged = await node.plugIn(pod.name);
      node.setAddress(pod, plugged.ips);
      return plugged;
    },
    async curl(pod, url, more = []) {
      const argv = ['curl', '-s', '-m', `${CURL_TIMEOUT_S}`, '-o', '/dev/null', '-w', '%{http_code}', ...more, url];
      const {stdout, status} = await lab.exec(pod, argv);
      return status === 0 ? stdout : `curl exit ${status}`;
    },
    async close() {
      for (const agent of agents) await agent.stop('SIGKILL');
      for (const server of servers) endServer(server);
      for (const side of carried) side.destroy();
      await lab.close();
      rmSync(dir, {recursive: true, force: true});
    },
  };
  return node;
}

function start(lab: Lab, under: readonly string[], flags: readonly string[]): Agent {
  const child = lab.spawn('node', [...under, ...tproxyCommand(flags)]);
  const journal: JournalLine[] = [];
  const waiting = new Set<() => void>();
  const look = (): void => {
    for (const one of waiting) one();
  };
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  createInterface({input: child.stdout!}).on('line', (line) => {
    journal.push(lineOf(line));
    look();
  });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  // What it said last is read after it has ended.
  let isRead = false;
  child.once('close', () => {
    isRead = true;
    look();
  });
  const said = (): string =>
    [stderr, ...journal.slice(-SHOWN_LINES).map((line) => JSON.stringify(line))]
      .filter((line) => line !== '')
      .join('\n');
  const agent: Agent = {
    ...{child, journal, said},
    logged(fits) {
      let check = (): void => undefined;
      const line = new Promise<JournalLine>((resolve, reject) => {
        check = () => {
          const found = journal.find(fits);
          if (found !== undefined) resolve(found);
          else if (isRead) reject(new Error(`the agent has ended: ${said()}`));
        };
        waiting.add(check);
        check();
      });
      return within(line, `a line of the agent: ${fits.toString()}`, {said}).finally(() => waiting.delete(check));
    },
    async ready() {
      const argv = ['curl', '-s', '-m', `${CURL_TIMEOUT_S}`, '-w', '\n%{http_code}', 'http://127.0.0.1:15084/readyz'];
      const {stdout, status: exit} = await lab.exec('node', argv);
      if (exit !== 0) return {status: 0, body: {curl: `exit ${exit}`}};
      const at = stdout.lastIndexOf('\n');
      return {status: Number(stdout.slice(at + 1)), body: JSON.parse(stdout.slice(0, at)) as Record<string, unknown>};
    },
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await within(gone, `the agent's end by ${signal}`, {said, withinMs: 2 * WITHIN_MS});
    },
  };
  return agent;
}

/** What is no JSON is shown as it is. */
function lineOf(text: string): JournalLine {
  try {
    return JSON.parse(text) as JournalLine;
  } catch {
    return {event: 'no journal line', message: text};
  }
}
