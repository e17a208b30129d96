/** Everything that exists in a case beside the clients and the proxy: servers, parents and the resolver, in a lab. */
import type {Socket as UdpSocket} from 'node:dgram';
import {isIP, type Server, type Socket} from 'node:net';
import {PORTS} from '../../../runtime/names.ts';
import {connectIn, listenIn, udpIn, type Lab} from '../../lab/index.ts';
import type {Case, ServerKind, ServerSpec} from '../format/case.ts';
import {canonical} from '../format/places.ts';
import type {Authorities} from './certificates.ts';
import {dnsTcpServer, serveDnsUdp} from './dns.ts';
import {bannerServer, echoServer, tlsEchoServer} from './echo.ts';
import {httpServer, httpsServer} from './http-server.ts';
import {Ledger} from './ledger.ts';
import {parentServer} from './parent.ts';

/** Where the world's resolver answers: TEST-NET-1 (RFC 5737), which no case has servers in. */
export const RESOLVER = '192.0.2.53';

export interface StandingWorld {
  readonly ledger: Ledger;
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  close(): Promise<void>;
}

/** Loopback and the unspecified address are the node's own: that is where a proxy that dialled them would get. */
export const isOnNode = (ip: string): boolean => /^127\.|^0\.0\.0\.0$|^::1?$/.test(ip);

/** Addresses that nobody can be reached at: multicast, broadcast, and link-local IPv6 without a zone (RFC 4007 6). */
export const isNobodys = (ip: string): boolean => /^2(2[4-9]|3\d)\.|^255\.255\.255\.255$|^ff|^fe[89ab]/i.test(ip);

/** Where a server at `ip` has to listen for whoever dials `ip`: a connection to the unspecified address ends at loopback. */
const listenAt = (ip: string): string => (ip === '0.0.0.0' ? '127.0.0.1' : ip === '::' ? '::1' : ip);

/** Starts every server of the case. */
export async function startWorld(
  world: Case,
  lab: Lab,
  authorities: Authorities,
  addresses: ReadonlyMap<string, readonly string[]>,
  say: (text: string) => void,
): Promise<StandingWorld> {
  const ledger = new Ledger();
  const listeners = new Listeners();
  try {
    const places = new Set([RESOLVER]);
    for (const list of addresses.values())
      for (const ip of list.map(canonical)) if (!isOnNode(ip) && !isNobodys(ip)) places.add(ip);
    await addAddresses(lab, [...places], say);
    for (const spec of world.servers) await startServer(spec, {lab, authorities, addresses, ledger, listeners});
    serveDnsUdp(await listeners.udp(lab.internet.path, RESOLVER, 53), addresses);
    await listeners.tcp(lab.internet.path, dnsTcpServer(addresses), RESOLVER, 53);
  } catch (error) {
    await listeners.close();
    throw error;
  }
  return {ledger, addresses, close: () => listeners.close()};
}

interface Surroundings {
  readonly lab: Lab;
  readonly authorities: Authorities;
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  readonly ledger: Ledger;
  readonly listeners: Listeners;
}

/** One server at all of its addresses and ports, with an echo of datagrams beside each. */
async function startServer(
  spec: ServerSpec,
  {lab, authorities, addresses, ledger, listeners}: Surroundings,
): Promise<void> {
  const own = addresses.get(spec.name)!;
  const keys = spec.ports.some(({kind}) => usesTls(kind)) ? authorities.certificate(spec, own) : null;
  for (const ip of own.map(canonical)) {
    if (isNobodys(ip)) continue;
    const path = isOnNode(ip) ? lab.node.path : lab.internet.path;
    const dial = (to: string, port: number): Socket =>
      connectIn(path, {ip: to, port}, ...(isIP(to) === isIP(ip) ? [{ip}] : []));
    for (const {port, kind} of spec.ports) {
      // The proxy's own ports on the node are the proxy's.
      if (isOnNode(ip) && (Object.values(PORTS) as number[]).includes(port)) continue;
      await listeners.tcp(path, serverOf(spec, kind, keys, {ledger, addresses, dial}), listenAt(ip), port);
      const udp = await listeners.udp(path, listenAt(ip), port);
      udp.on('message', (message, from) => {
        ledger.bytes(spec.name, `udp ${from.address} ${from.port}`, null);
        udp.send(message, from.port, from.address);
      });
    }
  }
}

/** Everything that listens, to be closed together. */
class Listeners {
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #datagrams: UdpSocket[] = [];

  async tcp(path: string, server: Server, ip: string, port: number): Promise<void> {
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    await listenIn(path, server, ip, port);
    this.#servers.push(server);
  }

  async udp(path: string, ip: string, port: number): Promise<UdpSocket> {
    const socket = await udpIn(path, ip, port);
    socket.on('error', () => undefined);
    this.#datagrams.push(socket);
    return socket;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    for (const udp of this.#datagrams) udp.close();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

const usesTls = (kind: ServerKind): boolean => kind === 'https' || kind === 'tls-echo' || kind === 'tls-connect-proxy';

function serverOf(
  spec: ServerSpec,
  kind: ServerKind,
  keys: {readonly cert: string; readonly key: string} | null,
  network: Parameters<typeof parentServer>[1],
): Server {
  switch (kind) {
    case 'https':
      return httpsServer(spec.name, network.ledger, keys!);
    case 'http':
      return httpServer(spec.name, network.ledger);
    case 'echo':
      return echoServer(spec.name, network.ledger);
    case 'banner':
      return bannerServer(spec.name, network.ledger);
    case 'tls-echo':
      return tlsEchoServer(spec.name, network.ledger, keys!);
    case 'connect-proxy':
      return parentServer(spec, network, null);
    case 'tls-connect-proxy':
      return parentServer(spec, network, keys);
  }
}

/** All at once; where the kernel will not have one, one after the other, and it is said which. */
async function addAddresses(lab: Lab, ips: readonly string[], say: (text: string) => void): Promise<void> {
  try {
    await lab.internet.addAddress(...ips);
  } catch {
    for (const ip of ips) {
      await lab.internet
        .addAddress(ip)
        .catch(() => say(`no interface can have the address ${ip}: nobody is reached there`));
    }
  }
}
