/**
 * Nodes of a cluster for tests of mTLS: each a lab with a pod, all on one wire, and the mTLS capture and wire of each in this process.
 *
 *   pod a -- node a --+
 *   pod b -- node b --+-- the wire (a bridge in a namespace of its own, where packets are recorded)
 *   pod c -- node c --+
 */
import type {ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {createServer, type Server} from 'node:net';
import {PORTS, TPROXY_ROUTE_TABLE} from '../../../runtime/names.ts';
import type {WorkloadEntry} from '../../../sources/workload-table.ts';
import {parseWorkloads} from '../../../sources/workload-table.ts';
import {createCapture, type NodeRules} from '../../../tproxy/capture/apply.ts';
import {systemCommands} from '../../../tproxy/capture/commands.ts';
import type {CaptureConfig, Member} from '../../../tproxy/capture/config.ts';
import {DEFAULT_MARKS} from '../../../tproxy/capture/marks.ts';
import {listenTransparent} from '../../../tproxy/capture/sockets.ts';
import {dialAs} from '../../../tproxy/mtls/capture/dial.ts';
import {createMtlsRules, type MtlsRules} from '../../../tproxy/mtls/capture/node-mtls.ts';
import {enrolment, type MtlsMode} from '../../../tproxy/mtls/enrolment.ts';
import type {Identity} from '../../../tproxy/mtls/identity/identity.ts';
import {testIdentity, testWorkloadCa} from '../../../tproxy/mtls/identity/testing.ts';
import {WIRE_LIMITS, type WireLimits} from '../../../tproxy/mtls/wire/limits.ts';
import {createWire, type Wire} from '../../../tproxy/mtls/wire/wire.ts';
import {createLab, type Lab, type LabPod} from '../index.ts';

export const NODES = ['a', 'b', 'c'] as const;
export type NodeName = (typeof NODES)[number];

export interface PodMtls {
  readonly mode: MtlsMode | null;
  readonly serviceAccount?: string;
  readonly plainPorts?: readonly number[];
}

export interface MtlsNode {
  readonly name: NodeName;
  readonly lab: Lab;
  /** Its one pod, called `app`. */
  readonly pod: LabPod;
  readonly rules: MtlsRules;
  readonly capture: NodeRules;
  readonly wire: Wire;
  /** `event message` of the journal. */
  readonly said: string[];
  readonly counts: Map<string, number>;
  /** The listener of the wire; while it is closed nothing is taken. */
  listen(): Promise<void>;
  stopListening(): Promise<void>;
  /** What its pod shows from now on; null: nothing. */
  identity: Identity | null;
}

export interface MtlsCluster {
  readonly nodes: Readonly<Record<NodeName, MtlsNode>>;
  readonly ca: ReturnType<typeof testWorkloadCa>;
  /** Says to all nodes who is who. Resolves when their kernels know. */
  enrol(pods: Partial<Record<NodeName, PodMtls>>): Promise<void>;
  /** Records the wire until what it resolves with is asked for the packets, as one text (latin1). */
  record(): Promise<() => Promise<string>>;
  close(): Promise<void>;
}

export interface MtlsClusterOptions {
  readonly limits?: Partial<WireLimits>;
  /** Pods that a policy holds, by node. */
  readonly members?: (node: NodeName, pod: LabPod) => readonly Member[];
  readonly strictCidrs?: readonly string[];
}

const numberOf = (node: NodeName): number => NODES.indexOf(node) + 1;
export const podIps = (node: NodeName): [string, string] => [
  `10.77.${numberOf(node)}.10`,
  `fd77:0:0:${numberOf(node)}::10`,
];
export const nodeIps = (node: NodeName): [string, string] => [`10.80.0.${numberOf(node)}`, `fd80::${numberOf(node)}`];

export async function createMtlsCluster(options: MtlsClusterOptions = {}): Promise<MtlsCluster> {
  const ca = testWorkloadCa();
  const labs: Lab[] = [];
  const closing: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const one of closing.splice(0).reverse()) await one();
    for (const lab of labs) await lab.close();
  };
  try {
    const wireLab = await createLab({name: 'mtlsw', pods: []});
    labs.push(wireLab);
    await ip(wireLab, wireLab.node.name, ['link add name br0 type bridge', 'link set dev br0 up']);
    const table = new Map<NodeName, PodMtls>(NODES.map((name) => [name, {mode: null}]));
    const nodes = {} as Record<NodeName, MtlsNode>;
    for (const name of NODES) {
      const lab = await createLab({
        name: `mtls${name}`,
        pods: [{name: 'app', ips: podIps(name)}],
        nodeIps: [`10.78.0.${numberOf(name)}`, `fd78::${numberOf(name)}`],
      });
      labs.push(lab);
      await plugIn(wireLab, lab, name);
      nodes[name] = await startNode(name, lab, table, options, closing);
    }
    return {
      nodes,
      ca,
      async enrol(pods) {
        for (const [name, pod] of Object.entries(pods)) table.set(name as NodeName, pod);
        for (const name of NODES) {
          const {serviceAccount = name, mode} = table.get(name)!;
          if (mode !== null && mode !== 'Off') nodes[name].identity ??= testIdentity(ca, spiffeIdOf(serviceAccount));
        }
        for (const node of Object.values(nodes)) {
          await node.rules.update(...told(node.name, node.pod, table, options));
          node.wire.recheck();
        }
      },
      record: () => record(wireLab),
      close,
    };
  } catch (cause) {
    await close();
    throw cause;
  }
}

export const spiffeIdOf = (serviceAccount: string): string => `spiffe://cluster.local/ns/shop/sa/${serviceAccount}`;

async function startNode(
  name: NodeName,
  lab: Lab,
  table: ReadonlyMap<NodeName, PodMtls>,
  options: MtlsClusterOptions,
  closing: (() => Promise<void> | void)[],
): Promise<MtlsNode> {
  const pod = lab.pod('app');
  const commands = systemCommands((start) => lab.inside('node', start));
  const said: string[] = [];
  const counts = new Map<string, number>();
  const onNotice = (_level: string, event: string, message: string): void => void said.push(`${event} ${message}`);
  const capture = createCapture({config: CAPTURE, commands, onNotice});
  await capture.start(options.members?.(name, pod) ?? []);
  closing.push(() => capture.close());
  const rules = createMtlsRules({port: PORTS.mtls, marks: DEFAULT_MARKS, commands, onNotice});
  closing.push(() => rules.close());
  await rules.update(...told(name, pod, table, options));
  const servers: Server[] = [];
  const wire = createWire({
    enrolment: () => enrolment(entries(table), {trustDomain: 'cluster.local', defaultMode: 'Off', cidrs: []}),
    isHere: (address) => pod.ips.includes(address),
    identityOf: () => node.identity,
    mayBePlain: () => false,
    dial: (source, destination) => lab.inside('node', () => dialAs(source, destination)),
    journal: {notice: onNotice},
    count: (event) => void counts.set(event, (counts.get(event) ?? 0) + 1),
    limits: {...WIRE_LIMITS, ...options.limits},
  });
  const node: MtlsNode = {
    ...{name, lab, pod, rules, capture, wire, said, counts, identity: null},
    async listen() {
      for (const ip of ['0.0.0.0', '::']) {
        const server = createServer({allowHalfOpen: true, noDelay: true, pauseOnConnect: true}, (socket) =>
          wire.accept(
            socket,
            {ip: socket.remoteAddress!, port: socket.remotePort!},
            {ip: socket.localAddress!, port: socket.localPort!},
          ),
        );
        const fd = lab.inside('node', () =>
          listenTransparent({ip, port: PORTS.mtls, transparent: true, reusePort: true, backlog: 128}),
        );
        server.listen({fd});
        await once(server, 'listening');
        servers.push(server);
      }
    },
    async stopListening() {
      const closed = servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve)));
      wire.close();
      await Promise.all(closed);
    },
  };
  closing.push(() => node.stopListening());
  await node.listen();
  return node;
}

const CAPTURE: CaptureConfig = {
  intercept: 'tproxy',
  capturedPort: PORTS.captured,
  explicitPort: PORTS.explicit,
  closedPorts: [PORTS.admin],
  resolvers: [],
  nodeCidrs: [],
  nat64Prefixes: [],
  podInterfaces: [],
  lockPodAddresses: false,
  meshDestinations: [],
  marks: DEFAULT_MARKS,
  routeTable: TPROXY_ROUTE_TABLE,
  rulePriority: 10,
};

function entries(table: ReadonlyMap<NodeName, PodMtls>): WorkloadEntry[] {
  return [...table].map(([name, {mode, serviceAccount = name, plainPorts = []}]) => {
    const text = JSON.stringify([
      {ips: podIps(name), namespace: 'shop', name, uid: `uid-${name}`, labels: {}, serviceAccount},
    ]);
    const [entry] = parseWorkloads(text, 'the test');
    return {...entry!, mtls: {mode, plainPorts: new Set(plainPorts)}};
  });
}

function told(
  name: NodeName,
  pod: LabPod,
  table: ReadonlyMap<NodeName, PodMtls>,
  {strictCidrs = []}: MtlsClusterOptions,
): Parameters<MtlsRules['update']> {
  const all = entries(table);
  const who = enrolment(all, {trustDomain: 'cluster.local', defaultMode: 'Off', cidrs: []});
  const here = new Map(pod.ips.map((ip) => [ip, pod.interface]));
  return [{entries: all, enrolment: who, here, strictCidrs}];
}

async function plugIn(wire: Lab, lab: Lab, name: NodeName): Promise<void> {
  await ip(wire, wire.node.name, [
    `link add dev ${name} type veth peer name link netns ${lab.node.name}`,
    `link set dev ${name} master br0 up`,
  ]);
  const [ip4, ip6] = nodeIps(name);
  await ip(lab, lab.node.name, [
    `addr add ${ip4}/24 dev link`,
    `addr add ${ip6}/64 dev link nodad`,
    'link set dev link up',
    ...NODES.filter((other) => other !== name).flatMap((other) => [
      `route add ${podIps(other)[0]}/32 via ${nodeIps(other)[0]}`,
      `-6 route add ${podIps(other)[1]}/128 via ${nodeIps(other)[1]}`,
    ]),
  ]);
}

async function ip(lab: Lab, namespace: string, lines: readonly string[]): Promise<void> {
  for (const line of lines) {
    const {status, stderr} = await lab.exec({name: namespace, path: ''}, ['ip', ...line.split(' ')]);
    if (status !== 0) throw new Error(`ip ${line}: ${stderr}`);
  }
}

/** tcpdump on the bridge: everything between nodes crosses it. */
async function record(wire: Lab): Promise<() => Promise<string>> {
  const argv = ['tcpdump', '--immediate-mode', '-U', '-s', '0', '-i', 'br0', '-w', '-'];
  const child: ChildProcess = wire.spawn('node', argv);
  const chunks: Buffer[] = [];
  child.stdout!.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve, reject) => {
    let text = '';
    child.once('exit', (code) => reject(new Error(`tcpdump ended with ${code}: ${text}`)));
    child.stderr!.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('listening on')) resolve();
    });
  });
  return async () => {
    const ended = once(child.stdout!, 'end');
    child.kill('SIGINT');
    await ended;
    return Buffer.concat(chunks).toString('latin1');
  };
}
