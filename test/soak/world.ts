/** The soak's world: one captured pod, the proxy without a log to read, and one server of each protocol behind it. */
import {createHash} from 'node:crypto';
import {openSync} from 'node:fs';
import {createServer as createHttpServer} from 'node:http';
import {createSecureServer, type Http2ServerRequest, type Http2ServerResponse} from 'node:http2';
import {createServer as createTcpServer, type Socket} from 'node:net';
import {createServer as createTlsServer} from 'node:tls';
import {proxiedLab, type ProxiedLab} from '../lab/proxied.ts';

/** The last byte of every body, allowed or denied: how a client that reads no framing knows that an answer is whole. */
export const END = '~';

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'soak', namespace: 'default'},
  spec: {
    podSelector: {},
    rules: [
      {name: 'site', to: {hosts: ['site.test'], schemes: ['https', 'http']}, http: {paths: ['/ok/**']}},
      {name: 'pass', to: {hosts: ['pass.test'], schemes: ['tls']}},
      {name: 'tcp', to: {hosts: ['tcp.test'], schemes: ['tcp'], ports: [7000]}},
    ],
    deny: {status: 403, contentType: 'text/plain', body: `no${END}`},
  },
};

export interface SoakWorld {
  readonly proxied: ProxiedLab;
  readonly site: string;
  readonly pass: string;
  readonly tcp: string;
}

function serve(request: Http2ServerRequest, response: Http2ServerResponse): void {
  request.resume();
  response.end(`fine${END}`);
}

function serveGrpc(request: Http2ServerRequest, response: Http2ServerResponse): void {
  response.writeHead(200, {'content-type': 'application/grpc'});
  response.addTrailers({'grpc-status': '0'});
  request.resume();
  request.on('end', () => response.end(Buffer.from([0, 0, 0, 0, 1, END.charCodeAt(0)])));
}

/** RFC 6455 §4.2.2; frames are echoed as they come, masked or not: the proxy looks at none. */
function acceptWebSocket(request: Http2ServerRequest, socket: Socket): void {
  const key = String(request.headers['sec-websocket-key']);
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.on('error', () => undefined);
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.pipe(socket);
}

export async function soakWorld(): Promise<SoakWorld> {
  const proxied = await proxiedLab({name: 'soak', policies: [POLICY], stdout: openSync('/dev/null', 'w')});
  const {leaves} = proxied.ca;
  const names = (servername: string, done: (error: null, context: ReturnType<typeof leaves.context>) => void): void =>
    done(null, leaves.context(servername));
  const secure = createSecureServer({SNICallback: names, allowHTTP1: true}, (request, response) => {
    if (request.headers['content-type'] === 'application/grpc') serveGrpc(request, response);
    else serve(request, response);
  });
  secure.on('upgrade', acceptWebSocket);
  secure.on('sessionError', () => undefined);
  const site = await proxied.addSite('site.test', 443, secure);
  await proxied.addSite(
    'site.test',
    80,
    createHttpServer((_request, response) => response.end(`fine${END}`)),
  );
  const pass = await proxied.addSite(
    'pass.test',
    443,
    createTlsServer({SNICallback: names}, (socket) => {
      socket.on('error', () => undefined);
      socket.pipe(socket);
    }),
  );
  const tcp = await proxied.addSite(
    'tcp.test',
    7000,
    createTcpServer((socket) => {
      socket.on('error', () => undefined);
      socket.pipe(socket);
    }),
  );
  return {proxied, site, pass, tcp};
}
