/** A lab with the capture in force and a trivial listener in the proxy's place: what tests of the kernel's part share. */
import {once} from 'node:events';
import {createServer, type Server, type Socket} from 'node:net';
import {createCapture, type NodeRules} from '../../tproxy/capture/apply.ts';
import {systemCommands, type Commands} from '../../tproxy/capture/commands.ts';
import type {CaptureConfig, Hold, Member} from '../../tproxy/capture/config.ts';
import {DEFAULT_MARKS} from '../../tproxy/capture/marks.ts';
import {listenTransparent} from '../../tproxy/capture/sockets.ts';
import {PORTS, TPROXY_ROUTE_TABLE} from '../../runtime/names.ts';
import {found, WITHIN_MS} from '../waiting.ts';
import {createLab, type Lab, type LabOptions, type LabPod} from './lab.ts';
import {connectIn, listenIn, udpIn} from './sockets.ts';

/** Public-looking addresses of the rig's internet. */
export const WEB = {4: '203.0.113.5', 6: '2001:db8::5'} as const;
export const RESOLVER = {4: '203.0.113.53', 6: '2001:db8::53'} as const;
export const METADATA = '169.254.169.254';

export interface Taken {
  /** `ip:port` of the pod and of the original destination, as the accepted socket has them. */
  readonly from: string;
  readonly to: string;
}

export interface Rig {
  readonly lab: Lab;
  readonly commands: Commands;
  readonly capture: NodeRules;
  readonly notices: string[];
  /** What the listener was handed, oldest first. */
  readonly taken: Taken[];
  member(pod: string, mode?: Hold): Member[];
  listen(): Promise<void>;
  /** The proxy is away: listeners closed, its connections too. */
  stopListening(): Promise<void>;
  counter(name: string): Promise<number>;
  close(): Promise<void>;
}

export interface RigOptions extends Omit<LabOptions, 'name'> {
  readonly config?: Partial<CaptureConfig>;
  /** Members at the start. Default: the pod called `locked` is. */
  readonly members?: (lab: Lab) => readonly Member[];
}

/** Members of both addresses of a pod. */
export function membersOf(pod: LabPod, mode: Hold = 'locked'): Member[] {
  return pod.ips.map((ip) => ({ip, interface: null, mode, uid: `uid-${pod.name}`}));
}

export async function createRig(options: RigOptions): Promise<Rig> {
  const lab = await createLab({...options, name: 'capture'});
  const commands = systemCommands((start) => lab.inside('node', start));
  const notices: string[] = [];
  const taken: Taken[] = [];
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const config: CaptureConfig = {
    intercept: 'tproxy',
    capturedPort: PORTS.captured,
    explicitPort: PORTS.explicit,
    closedPorts: [PORTS.admin],
    resolvers: Object.values(RESOLVER).map((ip) => ({ip, port: 53})),
    nodeCidrs: [],
    nat64Prefixes: [],
    podInterfaces: [],
    lockPodAddresses: false,
    meshDestinations: [],
    marks: DEFAULT_MARKS,
    routeTable: TPROXY_ROUTE_TABLE,
    rulePriority: 10,
    ...options.config,
  };
  const capture = createCapture({
    config,
    commands,
    onNotice: (_level, event, message) => notices.push(`${event}: ${message}`),
  });
  const rig: Rig = {
    lab,
    commands,
    capture,
    notices,
    taken,
    member: (pod, mode) => membersOf(lab.pod(pod), mode),
    async listen() {
      for (const ip of ['0.0.0.0', '::']) {
        const server = createServer((socket) => {
          sockets.add(socket);
          socket.on('error', () => undefined);
          socket.on('close', () => sockets.delete(socket));
          const to = `${socket.localAddress}:${socket.localPort}`;
          taken.push({from: `${socket.remoteAddress}:${socket.remotePort}`, to});
          socket.write(`taken ${to}\n`);
          socket.on('data', (chunk) => socket.write(chunk));
        });
        const transparent = config.intercept === 'tproxy';
        const fd = lab.inside('node', () =>
          listenTransparent({ip, port: PORTS.captured, transparent, reusePort: true, backlog: 128}),
        );
        server.listen({fd});
        await once(server, 'listening');
        servers.push(server);
      }
    },
    async stopListening() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
    },
    counter: async (name) => (await capture.counters()).get(name) ?? 0,
    async close() {
      await capture.close();
      await rig.stopListening();
      await lab.close();
    },
  };
  try {
    await lab.internet.addAddress(...Object.values(WEB), ...Object.values(RESOLVER), METADATA);
    await rig.listen();
    await capture.start(options.members === undefined ? rig.member('locked') : options.members(lab));
  } catch (cause) {
    await rig.close();
    throw cause;
  }
  return rig;
}

export interface Greeter {
  readonly port: number;
  /** The peers' addresses. */
  readonly seen: string[];
  /** Everything that was sent to it. */
  heard(): string;
  /** To all who are connected. */
  broadcast(text: string): void;
  close(): void;
}

/** A TCP server in a namespace that says whom it saw, and then answers with what it hears. */
export async function greeter(path: string, ip: string, port = 0): Promise<Greeter> {
  const seen: string[] = [];
  let heard = '';
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    seen.push(`${socket.remoteAddress}`);
    socket.write(`hello ${socket.remoteAddress}\n`);
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString();
      socket.write(chunk);
    });
  });
  const bound = await listenIn(path, server, ip, port);
  return {
    port: bound,
    seen,
    heard: () => heard,
    broadcast(text) {
      for (const socket of sockets) socket.write(text);
    },
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Dials; resolves with the first line that comes, or the error's code. The connection is closed. */
export async function firstLine(path: string, ip: string, port: number, from?: string): Promise<string> {
  const client = connectIn(path, {ip, port}, from === undefined ? undefined : {ip: from});
  try {
    return await lineOf(client);
  } finally {
    client.destroy();
  }
}

/** The next line of an open connection, or the code of the error that ended it, or `closed`; NOTHING where nothing of it comes. */
export function lineOf(client: Socket): Promise<string> {
  return inTime((resolve) => {
    if (client.destroyed) resolve(codeOf(client.errored));
    let text = '';
    client.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
    });
    client.once('error', (error) => resolve(codeOf(error)));
    client.once('close', () => resolve('closed'));
  });
}

function codeOf(error: NodeJS.ErrnoException | null): string {
  return error === null ? 'closed' : (error.code ?? error.message);
}

const NOTHING = `nothing within ${WITHIN_MS / 1000} s`;

/** As a word: who waits compares it, and the comparison shows it. */
function inTime(come: (resolve: (word: string) => void) => void): Promise<string> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(NOTHING), WITHIN_MS);
    come((word) => {
      clearTimeout(timer);
      resolve(word);
    });
  });
}

/** Sends one datagram; resolves with `answered`, with the code of the error that the network sent back, or with NOTHING. */
export async function datagram(
  path: string,
  from: string,
  to: {ip: string; port: number},
  text = 'hello',
): Promise<string> {
  const udp = await udpIn(path, from, 0);
  try {
    udp.connect(to.port, to.ip);
    await once(udp, 'connect');
    const answer = inTime((resolve) => {
      udp.once('message', (message) => resolve(`answered ${message.toString()}`));
      udp.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
    udp.send(text);
    return await answer;
  } finally {
    udp.close();
  }
}

export interface UdpEcho {
  readonly port: number;
  /** `ip text` of each datagram. */
  readonly seen: string[];
  send(text: string, port: number, ip: string): void;
  close(): void;
}

/** A UDP server that answers each datagram with its text. */
export async function udpEcho(path: string, ip: string, port: number): Promise<UdpEcho> {
  const udp = await udpIn(path, ip, port);
  const seen: string[] = [];
  udp.on('message', (message, peer) => {
    seen.push(`${peer.address} ${message.toString()}`);
    udp.send(message, peer.port, peer.address);
  });
  return {
    seen,
    port: udp.address().port,
    send: (text, toPort, toIp) => udp.send(text, toPort, toIp),
    close: () => udp.close(),
  };
}

/** Waits until `look` answers something other than null, false or undefined; else an error with its source. */
export function eventually<T>(look: () => T | Promise<T>): Promise<NonNullable<T>> {
  return found(look);
}
