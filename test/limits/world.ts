/** A node with two captured pods: `app` attacks, `other` must not notice; and servers that attack back. */
import {createServer as createHttpServer} from 'node:http';
import {createSecureServer, type Http2ServerRequest, type Http2ServerResponse} from 'node:http2';
import {connect as tlsConnect, createServer as createTlsServer, type TLSSocket} from 'node:tls';
import type {Socket} from 'node:net';
import {readFileSync, renameSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {answerQuery} from '../../cli/demo/dns.ts';
import {usage} from '../bench/processes.ts';
import {connectIn} from '../lab/index.ts';
import {proxiedLab, type ProxiedLab} from '../lab/proxied.ts';
import {closed, found as foundSoon} from '../waiting.ts';
import {FrameReader, PREFACE, settings, type ReadFrame} from './frames.ts';

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'limits', namespace: 'default'},
  spec: {
    podSelector: {},
    rules: [
      {name: 'site', to: {hosts: ['site.test'], schemes: ['https', 'http']}, http: {paths: ['/ok/**']}},
      {name: 'calm', to: {hosts: ['calm.test']}, http: {paths: ['/ok/**']}},
      {name: 'evil', to: {hosts: ['evil.test']}},
      {name: 'wild', to: {hosts: ['*.wild.test']}},
    ],
  },
};

/** How long a condition is waited for: what the proxy ends by itself, it ends after 10 s at the latest (headTimeoutMs). */
const EVENTUALLY_MS = 60_000;
const POLL_MS = 50;

/** What a test's own server does with a connection of the proxy. */
export type Evil = (socket: TLSSocket) => void;

export interface LimitsWorld {
  readonly lab: ProxiedLab;
  /** Where site.test, evil.test and every name under wild.test are. */
  readonly site: string;
  readonly evil: string;
  /** Addresses by name; a test may add its own. */
  readonly known: Record<string, string>;
  /** What evil.test does, over HTTP/2 and HTTP/1.1 alike; replaced by each test. */
  attack: Evil;
  /** What evil.test offers; default h2 and http/1.1. */
  alpn: string[];
  /** Requests that reached site.test. */
  served(): number;
  /** A TCP connection of a pod to a site, captured on its way. */
  dial(pod: 'app' | 'other', ip: string, port: number): Socket;
  /** TLS on top of it, done. */
  secure(pod: 'app' | 'other', name: string, alpn: 'h2' | 'http/1.1', ip?: string): Promise<TLSSocket>;
  /** An HTTP/2 connection of a pod, prefaced, whose frames are the test's. */
  h2(pod: 'app' | 'other', name: string, ...first: Buffer[]): Promise<RawH2>;
  /** One request of a fresh connection, whole: its status and body; status 0 where the connection was cut. */
  ask(pod: 'app' | 'other', url: string): Promise<{readonly status: number; readonly body: string}>;
  /** /metrics as numbers by `name{labels}`. */
  metrics(): Promise<Map<string, number>>;
  /** Memory of the proxy's processes, resident. */
  residentBytes(): number;
  /** Waits until it holds; says what was seen last where it does not. */
  eventually(what: string, check: () => unknown): Promise<void>;
  /** Nothing of any client is held, and no leg to a server is in use. */
  allGivenBack(): Promise<void>;
  close(): Promise<void>;
}

/** One connection and what came back on it. */
export interface RawH2 {
  readonly socket: TLSSocket;
  readonly frames: readonly ReadFrame[];
  ended(): boolean;
  /** Resolves when the other side has ended the connection. */
  readonly end: Promise<void>;
}

function serve(request: Http2ServerRequest, response: Http2ServerResponse): void {
  if (request.url === '/ok/big') {
    const piece = Buffer.alloc(64 * 1024, 'x');
    const more = (): void => {
      while (!response.writableEnded && !response.destroyed && response.write(piece));
    };
    response.on('drain', more);
    more();
    return;
  }
  request.resume();
  response.end('fine');
}

/** `under`: in front of the proxy's command. */
export async function limitsWorld(name: string, under: readonly string[] = []): Promise<LimitsWorld> {
  const lab = await proxiedLab({name, policies: [POLICY], under});
  const {leaves} = lab.ca;
  let served = 0;
  const names = (servername: string, done: (error: null, context: ReturnType<typeof leaves.context>) => void): void =>
    done(null, leaves.context(servername));
  const site = await lab.addSite(
    'site.test',
    443,
    createSecureServer({SNICallback: names, allowHTTP1: true}, (request, response) => {
      served++;
      serve(request, response);
    }),
  );
  await lab.addSite(
    'site.test',
    80,
    createHttpServer((_request, response) => {
      served++;
      response.end('fine');
    }),
  );
  const alpn = ['h2', 'http/1.1'];
  const evil = await lab.addSite(
    'evil.test',
    443,
    createTlsServer(
      {SNICallback: names, ALPNCallback: ({protocols}) => world.alpn.find((one) => protocols.includes(one))},
      (socket) => {
        socket.on('error', () => undefined);
        world.attack(socket);
      },
    ),
  );
  const known: Record<string, string> = {'site.test': site, 'evil.test': evil};
  lab.resolver = (query, answer) => {
    const message = answerQuery(query, (asked) => (asked.endsWith('.wild.test') ? site : known[asked]));
    if (message !== null) answer(message);
  };
  await addOther(lab);
  const root = readFileSync(join(lab.caDir, 'ca.crt'));
  const sockets = new Set<Socket>();

  const world: LimitsWorld = {
    lab,
    site,
    evil,
    known,
    attack: (socket) => void socket.destroy(),
    alpn,
    served: () => served,
    dial(pod, ip, port) {
      const socket = connectIn(lab.lab.pod(pod).path, {ip, port});
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => sockets.delete(socket));
      return socket;
    },
    secure: (pod, servername, protocol, ip = servername === 'evil.test' ? evil : site) =>
      new Promise((resolve, reject) => {
        const tls = tlsConnect(
          {socket: world.dial(pod, ip, 443), servername, ca: root, ALPNProtocols: [protocol]},
          () => {
            tls.off('close', failed);
            resolve(tls);
          },
        );
        const failed = (): void => reject(new Error(`the TLS handshake for ${servername} was cut`));
        tls.once('close', failed);
        tls.on('error', () => undefined);
      }),
    async h2(pod, servername, ...first) {
      const socket = await world.secure(pod, servername, 'h2');
      const frames: ReadFrame[] = [];
      const reader = new FrameReader();
      let ended = false;
      socket.on('data', (chunk: Buffer) => frames.push(...reader.feed(chunk)));
      const end = new Promise<void>((resolve) => {
        const done = (): void => {
          ended = true;
          resolve();
        };
        socket.once('end', done);
        socket.once('close', done);
      });
      socket.write(Buffer.concat([PREFACE, ...(first.length === 0 ? [settings()] : first)]));
      return {socket, frames, ended: () => ended, end};
    },
    async ask(pod, url) {
      const {hostname, pathname, protocol} = new URL(url);
      const ip = known[hostname] ?? site;
      let socket: Socket;
      try {
        socket = protocol === 'http:' ? world.dial(pod, ip, 80) : await world.secure(pod, hostname, 'http/1.1', ip);
      } catch {
        return {status: 0, body: ''};
      }
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\nConnection: close\r\n\r\n`);
      await closed(socket, `the end of the answer to ${url}`, {said: () => text});
      // Interim responses come before the one that counts.
      while (text.startsWith('HTTP/1.1 1')) text = text.slice(text.indexOf('\r\n\r\n') + 4);
      const split = text.indexOf('\r\n\r\n');
      return {status: split < 0 ? 0 : Number(text.split(' ')[1]), body: text.slice(split + 4)};
    },
    async metrics() {
      const socket = connectIn(lab.lab.node.path, {ip: '127.0.0.1', port: 15084});
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
      await closed(socket, 'the end of the metrics');
      if (socket.errored !== null) throw socket.errored;
      const found = new Map<string, number>();
      for (const line of text.split('\n')) {
        const space = line.lastIndexOf(' ');
        if (line.startsWith('sallyport_')) found.set(line.slice(0, space), Number(line.slice(space + 1)));
      }
      return found;
    },
    residentBytes: () => usage(lab.proxy.pid!).residentBytes,
    async eventually(what, check) {
      const deadline = Date.now() + EVENTUALLY_MS;
      for (;;) {
        const seen = await check();
        if (seen === true) return;
        if (Date.now() > deadline)
          throw new Error(`${what}: not within ${EVENTUALLY_MS} ms; last seen: ${String(seen)}`);
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    },
    async allGivenBack() {
      await world.eventually('everything is given back', async () => {
        const metrics = await world.metrics();
        const held = HELD.map((what) => [what, metrics.get(`sallyport_held{what="${what}"}`)] as const);
        held.push(['clients', metrics.get('sallyport_connections{kind="client"}')]);
        return held.every(([, value]) => value === 0) || held.map((one) => one.join('=')).join(' ');
      });
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await lab.close();
    },
  };
  return world;
}

/** What must be 0 when no client is there. */
const HELD = ['connections', 'requests', 'streams', 'lookups', 'heldBytes', 'headerBytes', 'handshakes', 'activeLegs'];

/** A second captured workload; resolves when it is captured. */
async function addOther(lab: ProxiedLab): Promise<void> {
  const other = await lab.lab.addPod({name: 'other'});
  const entry = (name: string): object => ({
    ips: lab.lab.pod(name).ips,
    interface: lab.lab.pod(name).interface,
    namespace: 'default',
    name,
    trustsCa: true,
  });
  const file = join(lab.dir, 'workloads.yaml');
  writeFileSync(`${file}.new~`, stringify([entry('app'), entry('other')]));
  renameSync(`${file}.new~`, file);
  const captured = async (): Promise<boolean> =>
    (await lab.lab.exec('node', ['nft', 'list', 'table', 'inet', 'sallyport'])).stdout.includes(other.ip4);
  await foundSoon(captured);
}
