/** A parent proxy of the world: CONNECT and absolute-form, by name or address, with Basic credentials where it asks for them. */
import {createServer as createHttp, request as httpRequest, type IncomingMessage, type ServerResponse} from 'node:http';
import {createServer as createTcp, isIP, type Server, type Socket} from 'node:net';
import {createServer as createTls} from 'node:tls';
import type {ServerSpec} from '../format/case.ts';
import {parseHostPort, worldName} from '../format/places.ts';
import type {Ledger} from './ledger.ts';

export interface ParentNetwork {
  readonly ledger: Ledger;
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  /** Dials from the parent's own place. */
  dial(ip: string, port: number): Socket;
}

/** What belongs to one hop (RFC 9110 7.6.1) or to the parent alone (11.7). */
const HOP_BY_HOP = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'transfer-encoding',
  'upgrade',
  'proxy-authorization',
  'proxy-authenticate',
]);

export function parentServer(
  spec: ServerSpec,
  network: ParentNetwork,
  keys: {readonly cert: string; readonly key: string} | null,
): Server {
  const {ledger} = network;
  const expected =
    spec.auth === null
      ? null
      : `Basic ${Buffer.from(`${spec.auth.username}:${spec.auth.password}`).toString('base64')}`;
  const admitted = (request: IncomingMessage): boolean =>
    expected === null || request.headers['proxy-authorization'] === expected;
  const server = createHttp({keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0});

  // After a CONNECT the bytes are those of a tunnel: they are seen where it ends.
  const tunnels = new WeakSet<Socket>();
  server.on('connect', (request, client: Socket, head) => {
    tunnels.add(client);
    const refuse = (status: string, extra = ''): void => {
      ledger.connect(spec.name, client, request.url ?? '', false);
      client.end(`HTTP/1.1 ${status}\r\n${extra}Content-Length: 0\r\n\r\n`);
    };
    client.on('error', () => client.destroy());
    if (!admitted(request))
      return refuse('407 Proxy Authentication Required', 'Proxy-Authenticate: Basic realm="world"\r\n');
    const dialled = dial(request.url ?? '', network);
    if (dialled === null) return refuse('502 Bad Gateway');
    let open = false;
    dialled.on('connect', () => {
      open = true;
      ledger.carries(spec.name, dialled);
      ledger.connect(spec.name, client, request.url ?? '', true);
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      if (head.length > 0) dialled.write(head);
      client.pipe(dialled).pipe(client);
    });
    dialled.on('error', () => {
      if (open) client.destroy();
      else refuse('502 Bad Gateway');
    });
    client.on('close', () => dialled.destroy());
    dialled.on('close', () => client.end());
  });

  server.on('request', (request, response) => {
    const seen = {method: request.method ?? '', target: request.url ?? '', headers: request.rawHeaders};
    const refuse = (status: number, headers: Record<string, string> = {}): void => {
      ledger.request(spec.name, request.socket, null, seen, {passedOn: false});
      request.resume();
      response.writeHead(status, headers);
      response.end();
    };
    const target = /^http:\/\/([^/?#]+)(.*)$/.exec(request.url ?? '');
    if (target === null) return refuse(400);
    if (!admitted(request)) return refuse(407, {'proxy-authenticate': 'Basic realm="world"'});
    const authority = /:\d+$/.test(target[1]!) ? target[1]! : `${target[1]!}:80`;
    const dialled = dial(authority, network);
    if (dialled === null) return refuse(502);
    ledger.request(spec.name, request.socket, null, seen, {passedOn: true});
    dialled.on('connect', () => ledger.carries(spec.name, dialled));
    forward(request, response, dialled, target[2]!.startsWith('/') ? target[2]! : `/${target[2]!}`);
  });
  server.on('clientError', (_error, socket) => socket.destroy());

  const accept = (socket: Socket): void => {
    socket.on('error', () => socket.destroy());
    server.emit('connection', socket);
    socket.on('data', () => {
      if (!tunnels.has(socket)) ledger.bytes(spec.name, socket, null, true);
    });
  };
  if (keys === null) return createTcp(accept);
  const tls = createTls({...keys, ALPNProtocols: ['http/1.1']}, accept);
  tls.on('tlsClientError', () => undefined);
  return tls;
}

/** null: neither an address nor a name of the world. */
function dial(authority: string, network: ParentNetwork): Socket | null {
  const place = parseHostPort(authority);
  if (place === null) return null;
  const ip = isIP(place.host) === 0 ? network.addresses.get(worldName(place.host))?.[0] : place.host;
  return ip === undefined ? null : network.dial(ip, place.port);
}

function forward(request: IncomingMessage, response: ServerResponse, dialled: Socket, path: string): void {
  const named = (request.headers.connection ?? '')
    .toLowerCase()
    .split(',')
    .map((token) => token.trim());
  const headers: string[] = [];
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i]!.toLowerCase();
    if (!HOP_BY_HOP.has(name) && !named.includes(name))
      headers.push(request.rawHeaders[i]!, request.rawHeaders[i + 1]!);
  }
  if (request.headers['transfer-encoding'] !== undefined) headers.push('Transfer-Encoding', 'chunked');
  const onward = httpRequest({
    method: request.method ?? 'GET',
    path,
    headers,
    createConnection: () => dialled,
    setHost: false,
  });
  onward.on('response', (upstream) => {
    response.writeHead(
      upstream.statusCode ?? 502,
      upstream.rawHeaders.filter((_, i, all) => !HOP_BY_HOP.has(all[i - (i % 2)]!.toLowerCase())),
    );
    upstream.pipe(response);
  });
  onward.on('error', () => {
    if (!response.headersSent) response.writeHead(502);
    response.end();
  });
  request.pipe(onward);
}
