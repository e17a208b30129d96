/** The sites of the lab's internet. */
import {createServer as createHttpServer, type IncomingMessage, type ServerResponse} from 'node:http';
import {createServer as createHttpsServer} from 'node:https';
import {createServer, type Server} from 'node:net';
import type {PublicCa} from '../../cli/demo/public-ca.ts';
import {listenIn, type Lab} from '../lab/index.ts';

/** Where every site says back what it hears. */
export const ECHO_PORT = 5432;

/** A request that arrived at a site. */
export interface Arrived {
  readonly site: string;
  /** The site's port that it came to. */
  readonly port: number;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

export interface Site {
  readonly name: string;
  readonly ip: string;
  /** Answers instead of `NAME METHOD PATH`. */
  readonly answer?: (request: IncomingMessage, response: ServerResponse) => void;
  /** Its certificate is for this name instead. */
  readonly certificateFor?: string;
}

/** http on 80, https on 443 and 8443, and an echo, at the site's own address. */
export async function serve(
  lab: Lab,
  ca: PublicCa,
  site: Site,
  arrived: Arrived[],
  connected: string[],
): Promise<Server[]> {
  await lab.internet.addAddress(site.ip);
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const {method = '', url = '', headers} = request;
    arrived.push({
      site: site.name,
      port: request.socket.localPort ?? 0,
      method,
      host: headers.host ?? '',
      path: url,
      headers,
    });
    if (site.answer !== undefined) site.answer(request, response);
    else response.end(`${site.name} ${method} ${url}\n`);
  };
  const secureContext = ca.leaves.context(site.certificateFor ?? site.name);
  // A name is sent without its last dot (RFC 6066 §3).
  const chosen = (name: string): Error | null => (name.endsWith('.') ? new Error(`${name}: no such name`) : null);
  const secure = () => createHttpsServer({SNICallback: (name, done) => done(chosen(name), secureContext)}, answer);
  const servers: Server[] = [];
  // A WebSocket as far as a proxy is concerned: after the 101 what comes is said back.
  const upgraded = <S extends Server>(server: S): S =>
    server.on('upgrade', ({method = '', url = '', headers, socket}: IncomingMessage) => {
      arrived.push({
        site: site.name,
        port: socket.localPort ?? 0,
        method,
        host: headers.host ?? '',
        path: url,
        headers,
      });
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      socket.on('error', () => undefined).pipe(socket);
    });
  for (const [port, server] of [
    [80, upgraded(createHttpServer(answer))],
    [443, upgraded(secure())],
    [8443, upgraded(secure())],
    [ECHO_PORT, createServer((socket) => socket.on('error', () => undefined).pipe(socket))],
  ] as const) {
    server.on('connection', () => connected.push(site.name));
    await listenIn(lab.internet.path, server, site.ip, port);
    servers.push(server);
  }
  return servers;
}
