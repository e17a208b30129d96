/** Clients of the soak: as little code per request as can be, so that the proxy is what works. */
import {connect as connectH2, type ClientHttp2Session} from 'node:http2';
import {randomBytes} from 'node:crypto';
import type {Socket} from 'node:net';
import {connect as tlsConnect, type TLSSocket} from 'node:tls';
import {connectIn} from '../lab/index.ts';
import {PORTS} from '../../runtime/names.ts';
import {END, type SoakWorld} from './world.ts';

/** Requests on one connection before it is replaced, so that every kind also opens and closes some. */
const PER_CONNECTION = 500;
/** What is waited for an answer; a soak that hangs says where. */
const ANSWER_MS = 30_000;
const END_BYTE = END.charCodeAt(0);
/** A masked WebSocket text frame whose payload ends with the byte that ends every body (the mask is 0). */
const WS_FRAME = Buffer.from([0x81, 0x81, 0, 0, 0, 0, END_BYTE]);

/** Sends something and waits for the end of its answer; rejects where the connection ends before. */
export type Ask = () => Promise<void>;

export interface Roots {
  /** What intercepted names are signed by, and what servers are. */
  readonly ours: Buffer;
  readonly theirs: Buffer;
}

const REQUEST = (path: string, host = 'site.test', more = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: soak\r\nAccept: */*\r\n${more}\r\n`;

function dial(world: SoakWorld, ip: string, port: number): Socket {
  const {lab} = world.proxied;
  const socket = connectIn(lab.pod('app').path, {ip, port});
  socket.setNoDelay(true);
  // Told by exchange() while an answer is waited for; at other times nobody asks.
  socket.on('error', ignore);
  return socket;
}

function secure(socket: Socket, servername: string, ca: Buffer): TLSSocket {
  return tlsConnect({socket, servername, ca, ALPNProtocols: ['http/1.1']}).on('error', ignore);
}

function ignore(): void {
  // 'close' follows.
}

/** Writes and reads up to the byte that ends an answer. */
function exchange(socket: Socket, bytes: string | Buffer, until = END_BYTE): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error: Error | null): void => {
      clearTimeout(timer);
      socket.off('data', onData);
      socket.off('close', onClose);
      socket.off('error', onError);
      if (error === null) resolve();
      else reject(error);
    };
    const onData = (chunk: Buffer): void => {
      if (chunk.includes(until)) settle(null);
    };
    const onClose = (): void => settle(new Error('the connection was closed before the answer'));
    const onError = (error: Error): void => settle(error);
    const timer = setTimeout(() => settle(new Error(`no answer within ${ANSWER_MS} ms`)), ANSWER_MS);
    socket.on('data', onData);
    socket.on('close', onClose);
    socket.on('error', onError);
    socket.write(bytes);
  });
}

/** One request after another on a kept connection. */
function kept(open: () => Socket, request: string): Ask {
  let socket: Socket | null = null;
  let left = 0;
  return async () => {
    if (socket === null || left === 0) {
      socket?.destroy();
      socket = open();
      left = PER_CONNECTION;
    }
    left--;
    await exchange(socket, request);
  };
}

/** A connection for each. */
const single =
  (open: () => Socket, bytes: string | Buffer): Ask =>
  async () => {
    const socket = open();
    try {
      await exchange(socket, bytes);
    } finally {
      socket.destroy();
    }
  };

/** Requests on a session of node:http2. */
function overH2(open: () => Socket, headers: Record<string, string>, body: Buffer | null): Ask {
  let session: ClientHttp2Session | null = null;
  let left = 0;
  return () =>
    new Promise((resolve, reject) => {
      if (session === null || left === 0 || session.closed || session.destroyed) {
        session?.close();
        const socket = open();
        session = connectH2('https://site.test', {createConnection: () => socket});
        session.on('error', () => undefined);
        left = PER_CONNECTION;
      }
      left--;
      const stream = session.request({':authority': 'site.test', ...headers}, {endStream: body === null});
      let whole = false;
      let status = 'none';
      let text = '';
      stream.on('response', (head) => (status = String(head[':status'])));
      stream.on('data', (chunk: Buffer) => {
        if (chunk.at(-1) === END_BYTE) whole = true;
        else text += chunk.toString();
      });
      stream.on('error', () => undefined);
      stream.once('close', () =>
        whole
          ? resolve()
          : reject(new Error(`an HTTP/2 stream ended with status ${status}, code ${stream.rstCode}: ${text}`)),
      );
      if (body !== null) stream.end(body);
    });
}

/** What the soak mixes: of a thousand requests, how many of each kind. */
export interface Kind {
  readonly name: string;
  readonly share: number;
  /** A client of its own state; several run side by side. */
  readonly client: () => Ask;
}

export function kinds(world: SoakWorld, roots: Roots): Kind[] {
  const {site, pass, tcp, proxied} = world;
  const tls = (): Socket => secure(dial(world, site, 443), 'site.test', roots.ours);
  const h2 = (): Socket =>
    tlsConnect({socket: dial(world, site, 443), servername: 'site.test', ca: roots.ours, ALPNProtocols: ['h2']}).on(
      'error',
      ignore,
    );
  const ok = REQUEST('/ok/a');
  const close = REQUEST('/ok/a', 'site.test', 'Connection: close\r\n');
  const [nodeIp] = proxied.lab.node.ips;
  return [
    {name: 'HTTP/1.1 in TLS, kept', share: 480, client: () => kept(tls, ok)},
    {name: 'HTTP/1.1 in TLS, a connection each', share: 20, client: () => single(tls, close)},
    {name: 'HTTP/2', share: 250, client: () => overH2(h2, {':path': '/ok/a'}, null)},
    {
      name: 'gRPC-shaped: HTTP/2 POST, trailers',
      share: 50,
      client: () =>
        overH2(
          h2,
          {':method': 'POST', ':path': '/ok/grpc', 'content-type': 'application/grpc', te: 'trailers'},
          Buffer.from([0, 0, 0, 0, 1, 1]),
        ),
    },
    {name: 'plain HTTP', share: 100, client: () => kept(() => dial(world, site, 80), ok)},
    {name: 'denied, HTTP/1.1', share: 40, client: () => kept(tls, REQUEST('/no'))},
    {name: 'denied, HTTP/2', share: 20, client: () => overH2(h2, {':path': '/no'}, null)},
    {name: 'WebSocket: upgrade, a frame, close', share: 10, client: () => webSocket(tls)},
    {
      name: 'TLS passed through',
      share: 10,
      client: () => single(() => secure(dial(world, pass, 443), 'pass.test', roots.theirs), END),
    },
    {name: 'opaque TCP', share: 10, client: () => single(() => dial(world, tcp, 7000), END)},
    {name: 'explicit CONNECT, then TLS', share: 10, client: () => explicit(world, nodeIp!, roots)},
  ];
}

function webSocket(open: () => Socket): Ask {
  return async () => {
    const socket = open();
    const key = randomBytes(16).toString('base64');
    const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`;
    try {
      await exchange(socket, REQUEST('/ok/ws', 'site.test', upgrade), 0x0a);
      await exchange(socket, WS_FRAME);
    } finally {
      socket.destroy();
    }
  };
}

function explicit(world: SoakWorld, nodeIp: string, roots: Roots): Ask {
  return async () => {
    const raw = dial(world, nodeIp, PORTS.explicit);
    try {
      await exchange(raw, 'CONNECT site.test:443 HTTP/1.1\r\nHost: site.test:443\r\n\r\n', 0x0a);
      await exchange(secure(raw, 'site.test', roots.ours), REQUEST('/ok/a', 'site.test', 'Connection: close\r\n'));
    } finally {
      raw.destroy();
    }
  };
}
