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

/** Addresses that no interface can have, so that nobody can be reached there: multicast and broadcast. */
export const isNobodys = (ip: string): boolean => /^2(2[4-9]|3\d)\.|^255\.255\.255\.255$|^ff/i.test(ip);

/** Starts every server of the case. */
export async function startWorld(
  world: Case,
  lab: Lab,
  authorities: Authorities,
  addresses: ReadonlyMap<string, readonly string[]>,
  say: (text: string) => void,
): Promise<StandingWorld> {
  const ledger = new Ledger();
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const datagrams: UdpSocket[] = [];
  const stand = async (path: string, server: Server, ip: string, port: number): Promise<void> => {
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
    await listenIn(path, server, ip, port);
    servers.push(server);
  };

  const places = new Set([RESOLVER]);
  for (const list of addresses.values())
    for (const ip of list.map(canonical)) if (!isOnNode(ip) && !isNobodys(ip)) places.add(ip);
  await addAddresses(lab, [...places], say);

  for (const spec of world.servers) {
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
        await stand(path, serverOf(spec, kind, keys, {ledger, addresses, dial}), ip, port);
        const udp = await udpIn(path, ip, port);
        udp.on('message', (message, from) => {
          ledger.bytes(spec.name, `udp ${from.address} ${from.port}`, null);
          udp.send(message, from.port, from.address);
        });
        udp.on('error', () => undefined);
        datagrams.push(udp);
      }
    }
  }
  const resolver = await udpIn(lab.internet.path, RESOLVER, 53);
  datagrams.push(resolver);
  serveDnsUdp(resolver, addresses);
  await stand(lab.internet.path, dnsTcpServer(addresses), RESOLVER, 53);

  return {
    ledger,
    addresses,
    async close() {
      for (const socket of sockets) socket.destroy();
      for (const udp of datagrams) udp.close();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
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
