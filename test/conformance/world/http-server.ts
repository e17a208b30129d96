/** The world's web servers: JSON of what they saw, on HTTP/1.1 and HTTP/2, with WebSocket and gRPC-shaped answers. */
import {createServer as createHttp1, type IncomingMessage, type ServerResponse} from 'node:http';
import {
  createServer as createHttp2,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2';
import {createServer as createTcp, type Server, type Socket} from 'node:net';
import {createServer as createTls, type TLSSocket} from 'node:tls';
import {headerMap} from '../observation.ts';
import type {Ledger} from './ledger.ts';
import {acceptKey, serveWebSocket} from './websocket.ts';

/** The JSON repeats the body up to here. */
const MAX_ECHOED_BYTES = 64 * 1024;
const MAX_SENT_BYTES = 256 * 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024, 'b');

type Incoming = IncomingMessage | Http2ServerRequest;
type Outgoing = ServerResponse | Http2ServerResponse;

/** A plain http server (also of WebSocket); HTTP/2 with prior knowledge (RFC 9113 3.3) is told by its preface. */
export function httpServer(name: string, ledger: Ledger): Server {
  const serve1 = http1(name, ledger);
  const serve2 = http2(name, ledger);
  return createTcp((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', (first: Buffer) => {
      socket.pause();
      socket.unshift(first);
      (first.toString('latin1').startsWith('PRI * HTTP/2.0') ? serve2 : serve1)(socket);
      process.nextTick(() => socket.resume());
    });
  });
}

/** An https server: http/1.1 and h2 by ALPN. */
export function httpsServer(name: string, ledger: Ledger, keys: {readonly cert: string; readonly key: string}): Server {
  const serve1 = http1(name, ledger);
  const serve2 = http2(name, ledger);
  const server = createTls({...keys, ALPNProtocols: ['h2', 'http/1.1']}, (socket) => {
    if (socket.alpnProtocol === 'h2') serve2(socket);
    else serve1(socket);
  });
  server.on('tlsClientError', () => undefined);
  return server;
}

function http1(name: string, ledger: Ledger): (socket: Socket) => void {
  const carriers = new WeakMap<Socket, string | null>();
  const carrier = (socket: Socket): string | null => {
    if (!carriers.has(socket)) carriers.set(socket, ledger.carrierOf(socket));
    return carriers.get(socket)!;
  };
  const saw = (request: IncomingMessage): void =>
    ledger.request(name, request.socket, carrier(request.socket), {
      method: request.method ?? '',
      target: request.url ?? '',
      headers: request.rawHeaders,
    });
  const server = createHttp1({
    keepAliveTimeout: 0,
    requestTimeout: 0,
    headersTimeout: 0,
    // Anything but a WebSocket at /ws is a request like any other.
    shouldUpgradeCallback: (request) =>
      request.headers.upgrade?.toLowerCase() === 'websocket' && pathOf(request.url) === '/ws',
  } as Parameters<typeof createHttp1>[0]);
  server.on('request', (request, response) => {
    saw(request);
    answer(request, response, request.socket);
  });
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    saw(request);
    response.writeContinue();
    answer(request, response, request.socket);
  });
  server.on('connect', (request, socket) => {
    saw(request);
    socket.end('HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n');
  });
  server.on('upgrade', (request, socket, head) => {
    saw(request);
    const key = request.headers['sec-websocket-key'] ?? '';
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${acceptKey(key)}\r\n\r\n`,
    );
    serveWebSocket(socket, head);
  });
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    else socket.destroy();
  });
  return (socket) => {
    socket.on('error', () => socket.destroy());
    server.emit('connection', socket);
    // After the server's own: also bytes that never become a request are bytes that got here.
    socket.on('data', () => ledger.bytes(name, socket, carrier(socket)));
  };
}

function http2(name: string, ledger: Ledger): (socket: Socket) => void {
  const server = createHttp2({settings: {enableConnectProtocol: true}});
  const carriers = new WeakMap<object, string | null>();
  server.on('request', (request, response) => {
    ledger.request(name, request.stream, carriers.get(request.stream.session!) ?? null, {
      method: request.method,
      target: request.url,
      headers: request.rawHeaders.filter((_, i, all) => !all[i - (i % 2)]!.startsWith(':')),
    });
    const contentType = request.headers['content-type'] ?? '';
    if (request.method === 'CONNECT') extendedConnect(request.stream, request.headers);
    else if (contentType.startsWith('application/grpc')) grpc(request, response);
    else answer(request, response, request.stream.session!.socket);
  });
  server.on('sessionError', () => undefined);
  return (socket) => {
    const carriedBy = ledger.carrierOf(socket);
    socket.on('error', () => socket.destroy());
    server.once('session', (session) => carriers.set(session, carriedBy));
    server.emit('connection', socket);
  };
}

/** gRPC-shaped: what was sent comes back, and the status in the trailers. */
function grpc(request: Http2ServerRequest, response: Http2ServerResponse): void {
  response.writeHead(200, {'content-type': request.headers['content-type'] ?? 'application/grpc'});
  response.addTrailers({'grpc-status': '0'});
  request.on('data', (chunk: Buffer) => void response.write(chunk));
  request.on('end', () => void response.end());
}

/** WebSocket over HTTP/2 (RFC 8441). */
function extendedConnect(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  if (headers[':protocol'] !== 'websocket' || pathOf(headers[':path']) !== '/ws') {
    stream.respond({':status': 405}, {endStream: true});
    return;
  }
  stream.respond({':status': 200});
  serveWebSocket(stream, Buffer.alloc(0));
}

const pathOf = (target: string | undefined): string => (target ?? '').split('?')[0]!;

/** /status/N, /bytes/N, /slow/MS; the JSON of what was seen on every path, once the body is there. */
function answer(request: Incoming, response: Outgoing, socket: Socket): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    if (bytes < MAX_ECHOED_BYTES) chunks.push(chunk);
    bytes += chunk.length;
  });
  request.on('error', () => undefined);
  response.on('error', () => undefined);
  request.on('end', () => {
    const [, verb, number] = /^\/(status|bytes|slow)\/(\d+)$/.exec(pathOf(request.url)) ?? [];
    const n = Number(number ?? 0);
    if (verb === 'bytes') {
      sendBytes(response, Math.min(n, MAX_SENT_BYTES), request.method === 'HEAD');
      return;
    }
    const body = Buffer.concat(chunks).subarray(0, MAX_ECHOED_BYTES).toString('latin1');
    const reply = (): void =>
      sendJson(
        response,
        verb === 'status' && n >= 200 && n <= 599 ? n : 200,
        seenBy(request, body, socket),
        request.method === 'HEAD',
      );
    if (verb === 'slow') setTimeout(reply, Math.min(n, 600_000));
    else reply();
  });
}

function seenBy(request: Incoming, body: string, socket: Socket): unknown {
  const headers = headerMap(request.rawHeaders);
  const tls = 'encrypted' in socket ? (socket as TLSSocket) : null;
  return {
    host: headers.get(':authority')?.[0] ?? headers.get('host')?.[0] ?? null,
    method: request.method,
    path: request.url,
    headers: Object.fromEntries(
      [...headers]
        .filter(([name]) => !name.startsWith(':'))
        .map(([name, lines]) => [name, lines.length === 1 ? lines[0] : lines]),
    ),
    body,
    tls:
      tls === null
        ? null
        : {sni: (tls as unknown as {servername: string | false}).servername || null, alpn: tls.alpnProtocol || null},
    peer: socket.remoteAddress ?? null,
  };
}

function sendJson(response: Outgoing, status: number, value: unknown, head: boolean): void {
  const text = Buffer.from(JSON.stringify(value));
  const bodiless = status === 204 || status === 304;
  // One writeHead signature for both protocols.
  const headers: Record<string, string> = bodiless
    ? {}
    : {'content-type': 'application/json', 'content-length': String(text.length)};
  (response as ServerResponse).writeHead(status, headers);
  (response as ServerResponse).end(head || bodiless ? undefined : text);
}

function sendBytes(response: Outgoing, count: number, head: boolean): void {
  (response as ServerResponse).writeHead(200, {'content-type': 'application/octet-stream', 'content-length': count});
  if (head) {
    response.end();
    return;
  }
  let left = count;
  const go = (): void => {
    while (left > 0) {
      const part = CHUNK.subarray(0, Math.min(left, CHUNK.length));
      left -= part.length;
      if (!(response as ServerResponse).write(part)) {
        response.once('drain', go);
        return;
      }
    }
    response.end();
  };
  go();
}
