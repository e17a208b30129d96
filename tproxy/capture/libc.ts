/**
 * The few system calls that Node has no name for. Each wrapper throws SystemCallError with errno's name.
 * koffi calls cost about a microsecond; none of them is on the path of a byte (docs/adr/0002).
 */
import {closeSync} from 'node:fs';
import {constants} from 'node:os';
import koffi from 'koffi';
import {SallyportError} from '../../runtime/errors.ts';

/** From <sys/socket.h>, <netinet/in.h>, <linux/in6.h>, <linux/netfilter_*>: x86-64 and arm64 agree on all of them. */
export const SYS = {
  AF_INET: 2,
  AF_INET6: 10,
  SOCK_STREAM: 1,
  SOCK_DGRAM: 2,
  SOCK_RAW: 3,
  SOCK_NONBLOCK: 0o4000,
  SOCK_CLOEXEC: 0o2000000,
  SOL_IP: 0,
  SOL_SOCKET: 1,
  SOL_IPV6: 41,
  SO_REUSEADDR: 2,
  SO_LINGER: 13,
  SO_REUSEPORT: 15,
  SO_MARK: 36,
  IP_FREEBIND: 15,
  IP_TRANSPARENT: 19,
  IP_BIND_ADDRESS_NO_PORT: 24,
  IPV6_V6ONLY: 26,
  IPV6_TRANSPARENT: 75,
  IPV6_FREEBIND: 78,
  SO_ORIGINAL_DST: 80,
  CLONE_NEWNET: 0x40000000,
} as const;

/** A call that the kernel refused. `code` is errno's name (EPERM, EADDRINUSE, ...). */
export class SystemCallError extends Error {
  readonly call: string;
  readonly code: string;

  constructor(call: string, errno: number) {
    const code = ERRNO.get(errno) ?? `errno ${errno}`;
    super(`${call}: ${code}`);
    this.name = 'SystemCallError';
    this.call = call;
    this.code = code;
  }
}

const ERRNO = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));

interface Libc {
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, address: Buffer, bytes: number): number;
  listen(fd: number, backlog: number): number;
  setsockopt(fd: number, level: number, name: number, value: Buffer, bytes: number): number;
  getsockopt(fd: number, level: number, name: number, value: Buffer, bytes: Int32Array): number;
  setns(fd: number, kind: number): number;
}

let loaded: Libc | null = null;

function libc(): Libc {
  if (loaded !== null) return loaded;
  if (process.platform !== 'linux')
    throw new SallyportError(
      'LinuxOnly',
      `capturing traffic needs Linux, this is ${process.platform}`,
      'Run it in a Linux machine or container, or use --capture none with the explicit port.',
    );
  const library = koffi.load('libc.so.6');
  // Types by their C names only: a named struct may be declared once per process, and tests load this module often.
  loaded = {
    socket: library.func('int socket(int, int, int)') as Libc['socket'],
    bind: library.func('int bind(int, const void *, unsigned int)') as Libc['bind'],
    listen: library.func('int listen(int, int)') as Libc['listen'],
    setsockopt: library.func('int setsockopt(int, int, int, const void *, unsigned int)') as Libc['setsockopt'],
    getsockopt: library.func('int getsockopt(int, int, int, void *, void *)') as Libc['getsockopt'],
    setns: library.func('int setns(int, int)') as Libc['setns'],
  };
  return loaded;
}

function checked(call: string, result: number): number {
  if (result < 0) throw new SystemCallError(call, koffi.errno());
  return result;
}

/** A new socket, close-on-exec and non-blocking, which libuv expects. */
export function socket(family: number, type: number, protocol = 0): number {
  return checked('socket', libc().socket(family, type | SYS.SOCK_NONBLOCK | SYS.SOCK_CLOEXEC, protocol));
}

/** `address` is a sockaddr; see sockaddr(). */
export function bind(fd: number, address: Buffer): void {
  checked('bind', libc().bind(fd, address, address.length));
}

export function listen(fd: number, backlog: number): void {
  checked('listen', libc().listen(fd, backlog));
}

/** An option: a 32-bit integer, or the bytes of a structure. */
export function setOption(fd: number, level: number, name: number, value: number | Buffer): void {
  const buffer = typeof value === 'number' ? Buffer.from(Uint32Array.of(value >>> 0).buffer) : value;
  checked('setsockopt', libc().setsockopt(fd, level, name, buffer, buffer.length));
}

/** An option's value, at most `bytes` of it. */
export function getOption(fd: number, level: number, name: number, bytes: number): Buffer {
  const value = Buffer.alloc(bytes);
  const length = Int32Array.of(bytes);
  checked('getsockopt', libc().getsockopt(fd, level, name, value, length));
  return value.subarray(0, length[0]);
}

/** Moves the calling thread (and what it starts from now on) into the network namespace behind `fd`. */
export function setNetworkNamespace(fd: number): void {
  checked('setns', libc().setns(fd, SYS.CLONE_NEWNET));
}

/** Runs `make` with `fd`, closing `fd` if that throws. */
export function owning<T>(fd: number, make: (fd: number) => T): T {
  try {
    return make(fd);
  } catch (cause) {
    closeSync(fd);
    throw cause;
  }
}
