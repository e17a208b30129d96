/** The mTLS capture and wire of three nodes, in this process: what tests of them share. The network is that of labs.ts. */
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
import type {Lab, LabPod} from '../index.ts';
import {createMtlsLabs, NODES, podIps, spiffeIdOf, type MtlsLabs, type NodeName} from './labs.ts';

export {nodeIps, podIps, spiffeIdOf, type NodeName} from './labs.ts';

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

export async function createMtlsCluster(options: MtlsClusterOptions = {}): Promise<MtlsCluster> {
  const ca = testWorkloadCa();
  let network: MtlsLabs | null = null;
  const closing: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const one of closing.splice(0).reverse()) await one();
    await network?.close();
  };
  try {
    network = await createMtlsLabs();
    const made = network;
    const {labs} = made;
    const table = new Map<NodeName, PodMtls>(NODES.map((name) => [name, {mode: null}]));
    const nodes = {} as Record<NodeName, MtlsNode>;
    for (const name of NODES) {
      nodes[name] = await startNode(name, labs[name], table, options, closing);
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
      record: () => made.record(),
      close,
    };
  } catch (cause) {
    await close();
    throw cause;
  }
}

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
