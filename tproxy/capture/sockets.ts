/** Sockets that take and open connections under addresses that are not this machine's. */
import {Socket} from 'node:net';
import type {Endpoint} from '../../policy/index.ts';
import {SallyportError} from '../../runtime/errors.ts';
import {bind, getOption, listen, owning, setOption, socket as newSocket, SystemCallError, SYS} from './libc.ts';
import {DEFAULT_MARKS} from './marks.ts';
import {familyOf, parseSockaddr, sockaddr} from './sockaddr.ts';

export interface ListenOptions {
  /** An IPv4 or IPv6 literal: `0.0.0.0` and `::` are every address of that family only. */
  readonly ip: string;
  readonly port: number;
  /** Take connections to any address (TPROXY); needs CAP_NET_ADMIN. */
  readonly transparent: boolean;
  /** Several processes may listen at the same address, and the kernel spreads connections over them. */
  readonly reusePort: boolean;
  /** Connections that wait to be accepted. */
  readonly backlog: number;
}

/**
 * A listening socket for `net.Server.listen({fd})`, which then owns it. Throws SallyportError `PortInUse`,
 * `AddressNotHere`, `MissingCapability`, `LinuxOnly`.
 */
export function listenTransparent({ip, port, transparent, reusePort, backlog}: ListenOptions): number {
  return explained(ip, port, () =>
    owning(streamSocket(ip), (fd) => {
      // A restart finds connections of its predecessor in TIME_WAIT.
      setOption(fd, SYS.SOL_SOCKET, SYS.SO_REUSEADDR, 1);
      if (reusePort) setOption(fd, SYS.SOL_SOCKET, SYS.SO_REUSEPORT, 1);
      // Both families have their own socket, so that a v4 peer is never seen as ::ffff:a.b.c.d.
      if (familyOf(ip) === 6) setOption(fd, SYS.SOL_IPV6, SYS.IPV6_V6ONLY, 1);
      if (transparent) makeTransparent(fd, ip);
      bind(fd, sockaddr(ip, port));
      listen(fd, backlog);
      return fd;
    }),
  );
}

export interface DialOptions {
  /** The pod. Only its address is used: its port belongs to the captured connection, and two connections with the same four numbers would be one to conntrack. */
  readonly source: Endpoint;
  readonly destination: Endpoint;
  /** Default: the mark by which the ruleset brings the replies back to this socket (Marks.dialled). */
  readonly mark?: number;
  readonly allowHalfOpen?: boolean;
}

/**
 * Dials with the pod's own address: the destination sees the pod, and a firewall between them still holds. The socket
 * connects like net.connect()'s and fails by 'error'. Throws SallyportError where it cannot be made.
 */
export function connectTransparent({source, destination, mark, allowHalfOpen}: DialOptions): Socket {
  if (familyOf(source.ip) !== familyOf(destination.ip))
    throw new SallyportError(
      'NoSourceAddress',
      `${source.ip} cannot dial ${destination.ip}: the families differ`,
      "Give the workload an address of the destination's family.",
    );
  const fd = explained(source.ip, 0, () =>
    owning(streamSocket(source.ip), (made) => {
      makeTransparent(made, source.ip);
      setOption(made, SYS.SOL_SOCKET, SYS.SO_MARK, mark ?? DEFAULT_MARKS.dialled);
      // The port is chosen at connect(), by all four numbers: bind() alone would run out of ports at 28,000 connections.
      setOption(made, SYS.SOL_IP, SYS.IP_BIND_ADDRESS_NO_PORT, 1);
      bind(made, sockaddr(source.ip, 0));
      return made;
    }),
  );
  const client = new Socket({fd, allowHalfOpen: allowHalfOpen ?? false});
  client.connect({host: destination.ip, port: destination.port});
  return client;
}

/** Dials under this machine's own address, with a mark; otherwise as connectTransparent(). */
export function connectMarked({ip, port}: Endpoint, mark: number): Socket {
  const fd = explained(ip, port, () =>
    owning(streamSocket(ip), (made) => {
      setOption(made, SYS.SOL_SOCKET, SYS.SO_MARK, mark);
      return made;
    }),
  );
  const client = new Socket({fd, allowHalfOpen: true});
  client.connect({host: ip, port});
  return client;
}

/** Another mark on the packets that follow. Does nothing where the socket is closed. */
export function remark(socket: Socket, mark: number): void {
  const fd = fdOf(socket);
  if (fd !== null) setOption(fd, SYS.SOL_SOCKET, SYS.SO_MARK, mark);
}

/**
 * Where a connection went before REDIRECT changed it; null where nothing did. `fd` of an accepted net.Socket:
 * see fdOf(). Linux has the same number, 80, for both families.
 */
export function originalDestination(fd: number, family: 4 | 6): Endpoint | null {
  try {
    const level = family === 4 ? SYS.SOL_IP : SYS.SOL_IPV6;
    return parseSockaddr(getOption(fd, level, SYS.SO_ORIGINAL_DST, family === 4 ? 16 : 28));
  } catch (cause) {
    // ENOENT: conntrack knows no such connection. ENOPROTOOPT: conntrack is not there at all.
    if (cause instanceof SystemCallError && (cause.code === 'ENOENT' || cause.code === 'ENOPROTOOPT')) return null;
    throw cause;
  }
}

/** The file descriptor of a connected net.Socket; null once it is closed. */
export function fdOf(socket: Socket): number | null {
  const fd = (socket as unknown as {_handle: {fd: number} | null})._handle?.fd;
  return fd === undefined || fd < 0 ? null : fd;
}

/** struct linger: on, for no second. */
const NO_LINGER = Buffer.from(Int32Array.of(1, 0).buffer);

/**
 * Ends a TCP connection with RST, so that what was cut looks like no whole one; 'close' follows. Does nothing where it is closed.
 * Not for a TLS stream: its raw socket is meant.
 *
 * Not resetAndDestroy(): libuv refuses that while a shutdown is on its way (uv_tcp_close_reset: EINVAL), and Node then keeps the
 * descriptor for ever and never says 'close'. This is what both do otherwise: SO_LINGER of no time, and close (socket(7)).
 */
export function reset(socket: Socket): void {
  if (socket.destroyed) return;
  const fd = fdOf(socket);
  if (fd !== null) setOption(fd, SYS.SOL_SOCKET, SYS.SO_LINGER, NO_LINGER);
  socket.destroy();
}

function streamSocket(ip: string): number {
  return newSocket(familyOf(ip) === 4 ? SYS.AF_INET : SYS.AF_INET6, SYS.SOCK_STREAM);
}

function makeTransparent(fd: number, ip: string): void {
  if (familyOf(ip) === 4) setOption(fd, SYS.SOL_IP, SYS.IP_TRANSPARENT, 1);
  else setOption(fd, SYS.SOL_IPV6, SYS.IPV6_TRANSPARENT, 1);
}

/** Says what the kernel's refusal means to whoever started us. */
function explained(ip: string, port: number, work: () => number): number {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof SystemCallError)) throw cause;
    const address = familyOf(ip) === 6 ? `[${ip}]:${port}` : `${ip}:${port}`;
    switch (cause.code) {
      case 'EPERM':
        throw missingCapability('CAP_NET_ADMIN', cause);
      case 'EACCES':
        throw missingCapability('CAP_NET_BIND_SERVICE', cause);
      case 'EADDRINUSE':
        throw new SallyportError(
          'PortInUse',
          `${address} is in use`,
          `Find who holds it with "ss -ltnp sport = :${port}", or listen on another port.`,
          {cause},
        );
      case 'EADDRNOTAVAIL':
        throw new SallyportError(
          'AddressNotHere',
          `${address} is no address of this machine`,
          'Listen on * or on an address that "ip addr" shows.',
          {cause},
        );
      default:
        throw new SallyportError('SocketFailed', `${address}: ${cause.message}`, '', {cause});
    }
  }
}

const NEEDED_FOR = {
  CAP_NET_ADMIN: 'Capturing traffic',
  CAP_NET_RAW: "Dialling under a peer's address",
  CAP_NET_BIND_SERVICE: 'Listening below port 1024',
} as const;

/** What is missing and the ways to give it. */
export function missingCapability(capability: keyof typeof NEEDED_FOR, cause: unknown): SallyportError {
  const short = capability.slice('CAP_'.length);
  return new SallyportError(
    'MissingCapability',
    `${NEEDED_FOR[capability]} needs ${capability}, which this process has not`,
    `Run as root, with "docker run --cap-add=${short}", with securityContext.capabilities.add: [${short}] in Kubernetes, ` +
      `or once: setcap ${capability.toLowerCase()}+ep ${process.execPath}.`,
    {cause},
  );
}
