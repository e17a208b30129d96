/** Long-lived connections of a pod, of every kind: each echoes what it is told, and says when it was cut. */
import {once} from 'node:events';
import {connect as connectH2, createSecureServer} from 'node:http2';
import {createServer as createHttps} from 'node:https';
import {createServer as createTcp, type Server, type Socket} from 'node:net';
import type {Duplex} from 'node:stream';
import {connect as connectTls, createServer as createTls, type TLSSocket} from 'node:tls';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {WebSocket, WebSocketServer} from 'ws';
import type {LeafSource} from '../../pki/index.ts';
import type {ProxiedLab} from '../lab/proxied.ts';
import {connectIn} from '../lab/sockets.ts';
import {heard, within} from '../waiting.ts';

export interface Living {
  /** Sends a text and resolves with whether it came back before the connection was cut. */
  readonly echo: (text: string) => Promise<boolean>;
  /** Resolves when it is gone. */
  readonly gone: Promise<void>;
  readonly isGone: boolean;
  end(): void;
}

/** `send` what is sent; `heard` is called with what comes. */
function living(
  send: (text: string) => void,
  end: () => void,
): {living: Living; heard(text: string): void; cut(): void} {
  let all = '';
  let isGone = false;
  let look: (() => void) | null = null;
  let tell = (): void => {};
  const gone = new Promise<void>((resolve) => (tell = resolve));
  return {
    living: {
      // Whoever waits for it waits for a moment that comes, or is told.
      get gone() {
        return within(gone, 'the connection is cut');
      },
      get isGone() {
        return isGone;
      },
      async echo(text) {
        if (isGone) return false;
        send(text);
        const come = async (): Promise<void> => {
          while (!all.includes(text) && !isGone) await new Promise<void>((resolve) => (look = resolve));
        };
        await within(come(), `${JSON.stringify(text)} comes back, or the connection is cut`, {
          said: () => `it said ${JSON.stringify(all)}`,
        });
        return all.includes(text);
      },
      end,
    },
    heard(text) {
      all += text;
      look?.();
    },
    cut() {
      isGone = true;
      tell();
      look?.();
    },
  };
}

function overStream(stream: Duplex): Living {
  const one = living(
    (text) => void stream.write(text),
    () => void stream.destroy(),
  );
  stream.on('error', () => undefined);
  stream.on('data', (chunk: Buffer) => one.heard(chunk.toString()));
  stream.on('close', () => one.cut());
  stream.on('end', () => one.cut());
  return one.living;
}

/** The trust of a pod: our CA and the lab's public roots, as in its bundle. */
const trust = (world: ProxiedLab): string => readFileSync(join(world.caDir, 'bundle.pem'), 'utf8');

/** Where the pod's connection goes: to the site itself (captured), or through CONNECT on the explicit port. */
export type By = 'captured' | 'explicit';

async function dialled(world: ProxiedLab, by: By, ip: string, name: string, port: number): Promise<Socket> {
  const pod = world.lab.pod('app').path;
  if (by === 'captured') {
    const socket = connectIn(pod, {ip, port});
    await within(once(socket, 'connect'), `a connection to ${ip}:${port}`);
    return socket;
  }
  const socket = connectIn(pod, {ip: world.lab.node.ips[0]!, port: 15081});
  socket.write(`CONNECT ${name}:${port} HTTP/1.1\r\nHost: ${name}:${port}\r\n\r\n`);
  const answer = await heard(socket, (text) => text.includes('\r\n\r\n'));
  if (!answer.startsWith('HTTP/1.1 200')) throw new Error(`CONNECT ${name}: ${answer}`);
  return socket;
}

async function secured(world: ProxiedLab, by: By, ip: string, name: string, alpn: string[]): Promise<TLSSocket> {
  const socket = await dialled(world, by, ip, name, 443);
  const tls = connectTls({socket, servername: name, ca: trust(world), ALPNProtocols: alpn});
  tls.on('error', () => undefined);
  await within(once(tls, 'secureConnect'), `the TLS handshake with ${name}`);
  return tls;
}

/** A TCP connection to a port where the server echoes. */
export const opaque = async (world: ProxiedLab, ip: string, port: number): Promise<Living> =>
  overStream(await dialled(world, 'captured', ip, '', port));

/** A TLS connection whose bytes are no protocol that is known. */
export const sealed = async (world: ProxiedLab, by: By, ip: string, name: string): Promise<Living> =>
  overStream(await secured(world, by, ip, name, []));

export async function webSocket(world: ProxiedLab, by: By, ip: string, name: string): Promise<Living> {
  const tls = await secured(world, by, ip, name, ['http/1.1']);
  const socket = new WebSocket(`wss://${name}/ws`, {createConnection: () => tls});
  const one = living(
    (text) => socket.send(text),
    () => socket.terminate(),
  );
  socket.on('error', () => undefined);
  socket.on('message', (message) => one.heard((message as Buffer).toString()));
  socket.on('close', () => one.cut());
  await within(once(socket, 'open'), `the WebSocket of ${name}`);
  return one.living;
}

/** Streams of one HTTP/2 connection, each by its path; as gRPC sends them. */
export async function streams(
  world: ProxiedLab,
  by: By,
  ip: string,
  name: string,
  paths: readonly string[],
): Promise<Living[]> {
  const tls = await secured(world, by, ip, name, ['h2']);
  const session = connectH2(`https://${name}`, {createConnection: () => tls});
  session.on('error', () => undefined);
  return Promise.all(
    paths.map(async (path) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const one = overStream(stream);
      await within(once(stream, 'response'), `the answer to ${path}`);
      return {
        echo: one.echo,
        get gone() {
          return one.gone;
        },
        get isGone() {
          return one.isGone;
        },
        end: () => session.destroy(),
      };
    }),
  );
}

/** A server that echoes bytes. */
export const echoServer = (): Server => createTcp((socket) => pipeBack(socket));

const keys = (leaves: LeafSource, name: string) => ({
  SNICallback: (_: string, done: (error: null, context: ReturnType<LeafSource['context']>) => void) =>
    done(null, leaves.context(name)),
});

export const tlsEchoServer = (leaves: LeafSource, name: string): Server =>
  createTls(keys(leaves, name), (socket) => pipeBack(socket));

export function webSocketEchoServer(leaves: LeafSource, name: string): Server {
  const server = createHttps(keys(leaves, name));
  new WebSocketServer({server}).on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, {binary: isBinary}));
  });
  return server;
}

/** Answers each stream at once and echoes its body. */
export function streamEchoServer(leaves: LeafSource, name: string): Server {
  const server = createSecureServer(keys(leaves, name));
  server.on('stream', (stream) => {
    stream.on('error', () => undefined);
    stream.respond({':status': 200, 'content-type': 'application/grpc'});
    stream.pipe(stream);
  });
  return server;
}

function pipeBack(socket: Socket): void {
  socket.on('error', () => undefined);
  socket.pipe(socket);
}
