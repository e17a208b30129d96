/** Sockets of this process in another namespace: servers, clients and datagrams without a child each. */
import {createSocket, type Socket as UdpSocket} from 'node:dgram';
import {closeSync, writeSync} from 'node:fs';
import {Socket, type Server} from 'node:net';
import koffi from 'koffi';
import {bind, listen, owning, setOption, socket, SYS} from '../../tproxy/capture/libc.ts';
import {familyOf, sockaddr} from '../../tproxy/capture/sockaddr.ts';
import {inNamespace} from './namespace.ts';

const BACKLOG = 511;

/** The open connections of the servers that were made to listen here. */
const accepted = new WeakMap<Server, Set<Socket>>();

/**
 * Lets `server` (net, tls, http, http2) listen at an address of the namespace at `path`. The address need not
 * exist yet (freebind). Port 0 picks one; answers the port.
 */
export async function listenIn(path: string, server: Server, ip: string, port: number): Promise<number> {
  const fd = inNamespace(path, () => owning(boundSocket(ip, SYS.SOCK_STREAM), (made) => at(made, ip, port)));
  listen(fd, BACKLOG);
  remember(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({fd}, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

/**
 * Closes a server of listenIn() and its connections. Those of a namespace that is gone are told of no end by anybody, and
 * would keep this process alive.
 */
export function endServer(server: Server): void {
  server.close();
  for (const socket of accepted.get(server) ?? []) socket.destroy();
}

function remember(server: Server): void {
  if (accepted.has(server)) return;
  const sockets = new Set<Socket>();
  accepted.set(server, sockets);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
}

/** Dials from the namespace at `path`; with `from`, by that source address. Events as of net.connect. */
export function connectIn(path: string, to: {ip: string; port: number}, from?: {ip: string; port?: number}): Socket {
  const family = familyOf(to.ip) === 4 ? SYS.AF_INET : SYS.AF_INET6;
  const fd = inNamespace(path, () =>
    owning(socket(family, SYS.SOCK_STREAM), (made) => {
      // One port towards several destinations.
      if (from?.port !== undefined) setOption(made, SYS.SOL_SOCKET, SYS.SO_REUSEADDR, 1);
      if (from !== undefined) bind(made, sockaddr(from.ip, from.port ?? 0));
      return made;
    }),
  );
  const client = new Socket({fd});
  client.connect({host: to.ip, port: to.port});
  return client;
}

/** A UDP socket bound in the namespace at `path`; port 0 picks one. */
export async function udpIn(path: string, ip: string, port: number): Promise<UdpSocket> {
  const fd = inNamespace(path, () => owning(boundSocket(ip, SYS.SOCK_DGRAM), (made) => at(made, ip, port)));
  const udp = createSocket(familyOf(ip) === 4 ? 'udp4' : 'udp6');
  await new Promise<void>((resolve, reject) => {
    udp.once('error', reject);
    udp.bind({fd}, () => {
      udp.off('error', reject);
      resolve();
    });
  });
  return udp;
}

/** Sends one packet of an IP protocol that has no port numbers: what a program with CAP_NET_RAW can always do. */
export function rawPacketIn(path: string, protocol: number, to: string, text: string): void {
  const connect = koffi.load('libc.so.6').func('int connect(int, const void *, unsigned int)') as (
    fd: number,
    address: Buffer,
    bytes: number,
  ) => number;
  const family = familyOf(to) === 4 ? SYS.AF_INET : SYS.AF_INET6;
  const fd = inNamespace(path, () => socket(family, SYS.SOCK_RAW, protocol));
  try {
    const address = sockaddr(to, 0);
    if (connect(fd, address, address.length) < 0) throw new Error(`connect: errno ${koffi.errno()}`);
    writeSync(fd, text);
  } finally {
    closeSync(fd);
  }
}

function boundSocket(ip: string, type: number): number {
  return socket(familyOf(ip) === 4 ? SYS.AF_INET : SYS.AF_INET6, type);
}

function at(fd: number, ip: string, port: number): number {
  setOption(fd, SYS.SOL_SOCKET, SYS.SO_REUSEADDR, 1);
  if (familyOf(ip) === 4) setOption(fd, SYS.SOL_IP, SYS.IP_FREEBIND, 1);
  else {
    setOption(fd, SYS.SOL_IPV6, SYS.IPV6_V6ONLY, 1);
    setOption(fd, SYS.SOL_IPV6, SYS.IPV6_FREEBIND, 1);
  }
  bind(fd, sockaddr(ip, port));
  return fd;
}
