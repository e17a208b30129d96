/**
 * Datagram sockets that tell which ICMP error came back and from whom (ip(7), IP_RECVERR). Node tells errno alone, and
 * there "a filter refused it" (3/13) and "a router knows no such host" (3/1) are both EHOSTUNREACH.
 */
import {closeSync} from 'node:fs';
import {constants, endianness} from 'node:os';
import ipaddr from 'ipaddr.js';
import koffi from 'koffi';

/** From <sys/socket.h>, <linux/in.h>, <linux/in6.h>, <linux/errqueue.h>: x86-64 and arm64 agree on all of them. */
const SYS = {
  AF_INET: 2,
  AF_INET6: 10,
  SOCK_DGRAM: 2,
  SOCK_NONBLOCK: 0o4000,
  SOCK_CLOEXEC: 0o2000000,
  IPPROTO_ICMP: 1,
  IPPROTO_ICMPV6: 58,
  SOL_IP: 0,
  SOL_IPV6: 41,
  IP_RECVERR: 11,
  IPV6_RECVERR: 25,
  MSG_DONTWAIT: 0x40,
  MSG_ERRQUEUE: 0x2000,
  SO_EE_ORIGIN_ICMP: 2,
  SO_EE_ORIGIN_ICMP6: 3,
} as const;

/** A refused system call; `code` is errno's name. */
export class CallRefused extends Error {
  readonly code: string;

  constructor(call: string, errno: number) {
    const code = ERRNO.get(errno) ?? `errno ${errno}`;
    super(`${call}: ${code}`);
    this.code = code;
  }
}

const ERRNO = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));

/** An ICMP error about what was sent. */
export interface IcmpError {
  readonly family: 4 | 6;
  readonly type: number;
  readonly code: number;
  /** Who sent it; null where the kernel does not say. */
  readonly by: string | null;
}

export interface Place {
  readonly ip: string;
  /** For link-local addresses: the interface's index. 0: none. */
  readonly scope: number;
  readonly port: number;
}

type Call = (...values: unknown[]) => number;
type Calls = Readonly<Record<'socket' | 'bind' | 'connect' | 'send' | 'recv' | 'setsockopt' | 'recvmsg', Call>>;
let loaded: Calls | null = null;

function libc(): Calls {
  if (loaded !== null) return loaded;
  const library = koffi.load('libc.so.6');
  // Without a name: a named struct may be declared once per process, and tests load this module often.
  const message = koffi.struct({
    name: 'void *',
    nameBytes: 'uint32_t',
    vectors: 'void *',
    vectorCount: 'size_t',
    control: 'void *',
    controlBytes: 'size_t',
    flags: 'int',
  });
  return (loaded = {
    socket: library.func('int socket(int, int, int)') as Call,
    bind: library.func('int bind(int, const void *, unsigned int)') as Call,
    connect: library.func('int connect(int, const void *, unsigned int)') as Call,
    send: library.func('int64_t send(int, const void *, size_t, int)') as Call,
    recv: library.func('int64_t recv(int, void *, size_t, int)') as Call,
    setsockopt: library.func('int setsockopt(int, int, int, const void *, unsigned int)') as Call,
    recvmsg: library.func('recvmsg', 'int64_t', ['int', koffi.inout(koffi.pointer(message)), 'int']) as Call,
  });
}

function checked(call: keyof Calls, ...values: unknown[]): number {
  const result = Number(libc()[call](...values));
  if (result < 0) throw new CallRefused(call, koffi.errno());
  return result;
}

/** What may be received or queued as an error at once: one small packet. */
const MAX_BYTES = 1024;

/** One socket for one destination. */
export class ProbeSocket {
  readonly #fd: number;
  readonly #family: 4 | 6;

  /** UDP, or echo requests (`ping`, where net.ipv4.ping_group_range lets us), from an own address. Throws CallRefused. */
  constructor(protocol: 'udp' | 'icmp', from: string, to: Place) {
    this.#family = to.ip.includes(':') ? 6 : 4;
    const v6 = this.#family === 6;
    const number = protocol === 'udp' ? 0 : v6 ? SYS.IPPROTO_ICMPV6 : SYS.IPPROTO_ICMP;
    const type = SYS.SOCK_DGRAM | SYS.SOCK_NONBLOCK | SYS.SOCK_CLOEXEC;
    this.#fd = checked('socket', v6 ? SYS.AF_INET6 : SYS.AF_INET, type, number);
    try {
      const on = Buffer.from(Uint32Array.of(1).buffer);
      checked(
        'setsockopt',
        this.#fd,
        v6 ? SYS.SOL_IPV6 : SYS.SOL_IP,
        v6 ? SYS.IPV6_RECVERR : SYS.IP_RECVERR,
        on,
        on.length,
      );
      // The address that is captured: towards a link-local one the kernel would speak from another.
      const own = sockaddr({ip: from, scope: 0, port: 0});
      checked('bind', this.#fd, own, own.length);
      const there = sockaddr(to);
      checked('connect', this.#fd, there, there.length);
    } catch (cause) {
      closeSync(this.#fd);
      throw cause;
    }
  }

  /** Throws CallRefused: EPERM where a rule in the pod refuses, or the error that an earlier packet came back with. */
  send(bytes: Buffer): void {
    checked('send', this.#fd, bytes, bytes.length, SYS.MSG_DONTWAIT);
  }

  /** Whether anything was received. */
  received(): boolean {
    return Number(libc().recv(this.#fd, Buffer.alloc(MAX_BYTES), MAX_BYTES, SYS.MSG_DONTWAIT)) >= 0;
  }

  /** The next error that came back; null: none so far. Errors of this machine's own are not ICMP errors and passed over. */
  error(): IcmpError | null {
    for (;;) {
      const control = Buffer.alloc(MAX_BYTES);
      const message = {
        name: null,
        nameBytes: 0,
        vectors: null,
        vectorCount: 0,
        control,
        controlBytes: control.length,
        flags: 0,
      };
      if (Number(libc().recvmsg(this.#fd, message, SYS.MSG_ERRQUEUE | SYS.MSG_DONTWAIT)) < 0) return null;
      const error = icmpError(control.subarray(0, Number(message.controlBytes)), this.#family);
      if (error !== null) return error;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

const littleEndian = endianness() === 'LE';
const read16 = (b: Buffer, at: number): number => (littleEndian ? b.readUInt16LE(at) : b.readUInt16BE(at));
const read32 = (b: Buffer, at: number): number => (littleEndian ? b.readInt32LE(at) : b.readInt32BE(at));

/** struct cmsghdr is 16 bytes; behind it struct sock_extended_err, 16 bytes, and the offender's sockaddr. */
const HEADER_BYTES = 16;
const EXTENDED_BYTES = 16;

/** The ICMP error in control messages; null: there is none. Pure. */
export function icmpError(control: Buffer, family: 4 | 6): IcmpError | null {
  const level = family === 4 ? SYS.SOL_IP : SYS.SOL_IPV6;
  const type = family === 4 ? SYS.IP_RECVERR : SYS.IPV6_RECVERR;
  for (let at = 0; at + HEADER_BYTES + EXTENDED_BYTES <= control.length;) {
    // The length is a size_t whose upper half is zero.
    const bytes = littleEndian ? read32(control, at) : read32(control, at + 4);
    if (bytes < HEADER_BYTES) return null;
    const body = control.subarray(at + HEADER_BYTES, at + bytes);
    if (read32(control, at + 8) === level && read32(control, at + 12) === type && body.length >= EXTENDED_BYTES) {
      const origin = body[4]!;
      if (origin === SYS.SO_EE_ORIGIN_ICMP || origin === SYS.SO_EE_ORIGIN_ICMP6)
        return {family, type: body[5]!, code: body[6]!, by: addressIn(body.subarray(EXTENDED_BYTES))};
    }
    at += Math.ceil(bytes / 8) * 8;
  }
  return null;
}

function addressIn(bytes: Buffer): string | null {
  if (bytes.length < 16) return null;
  const family = read16(bytes, 0);
  if (family === SYS.AF_INET) return new ipaddr.IPv4([...bytes.subarray(4, 8)]).toString();
  if (family === SYS.AF_INET6 && bytes.length >= 24)
    return new ipaddr.IPv6([...bytes.subarray(8, 24)]).toRFC5952String();
  return null;
}

function sockaddr({ip, scope, port}: Place): Buffer {
  const v6 = ip.includes(':');
  const buffer = Buffer.alloc(v6 ? 28 : 16);
  const family = v6 ? SYS.AF_INET6 : SYS.AF_INET;
  if (littleEndian) buffer.writeUInt16LE(family, 0);
  else buffer.writeUInt16BE(family, 0);
  buffer.writeUInt16BE(port, 2);
  buffer.set(ipaddr.parse(ip).toByteArray(), v6 ? 8 : 4);
  if (v6 && littleEndian) buffer.writeUInt32LE(scope, 24);
  else if (v6) buffer.writeUInt32BE(scope, 24);
  return buffer;
}
