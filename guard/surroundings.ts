/** Where the pod stands: its own addresses, its gateways, who could be next to it. From what any process may read. */
import {readFileSync} from 'node:fs';
import {networkInterfaces, type NetworkInterfaceInfo} from 'node:os';
import ipaddr from 'ipaddr.js';

export interface OwnAddress {
  readonly ip: string;
  readonly family: 4 | 6;
  readonly interface: string;
  readonly prefix: number;
}

export interface Gateway {
  readonly ip: string;
  readonly interface: string;
  /** The interface's index, which a link-local address needs; 0: not known. */
  readonly scope: number;
}

export interface Surroundings {
  /** Without loopback and link-local ones. */
  readonly addresses: readonly OwnAddress[];
  readonly gateways: readonly Gateway[];
}

/** As the kernel has it now. */
export function lookAround(): Surroundings {
  const interfaces = networkInterfaces();
  return {
    addresses: ownAddresses(interfaces),
    gateways: [
      ...gateways4(textOf('/proc/net/route')),
      ...gateways6(textOf('/proc/net/ipv6_route'), (name) => indexOf(interfaces[name])),
    ],
  };
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // There is no IPv6.
    return '';
  }
}

const indexOf = (addresses: readonly NetworkInterfaceInfo[] = []): number =>
  addresses.reduce((found, address) => (address.family === 'IPv6' && address.scopeid ? address.scopeid : found), 0);

export function ownAddresses(
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
): OwnAddress[] {
  return Object.entries(interfaces).flatMap(([name, addresses = []]) =>
    addresses.flatMap(({address, cidr, internal}) => {
      const parsed = ipaddr.parse(address);
      if (internal || parsed.range() === 'linkLocal' || parsed.range() === 'loopback') return [];
      const prefix = Number(cidr?.split('/')[1] ?? (parsed.kind() === 'ipv4' ? 32 : 128));
      return [{ip: address, family: parsed.kind() === 'ipv4' ? (4 as const) : (6 as const), interface: name, prefix}];
    }),
  );
}

const RTF_GATEWAY = 0x2;

/** The gateways in /proc/net/route (proc_net(5)): addresses as hexadecimal numbers in the machine's order. */
export function gateways4(text: string): Gateway[] {
  const found = new Map<string, Gateway>();
  for (const line of text.split('\n').slice(1)) {
    const [name, , gateway = '', flags = ''] = line.trim().split(/\s+/);
    if (name === undefined || (parseInt(flags, 16) & RTF_GATEWAY) === 0) continue;
    const bytes = [...Buffer.from(Uint32Array.of(parseInt(gateway, 16)).buffer)];
    const ip = new ipaddr.IPv4(bytes).toString();
    found.set(`${ip} ${name}`, {ip, interface: name, scope: 0});
  }
  return [...found.values()];
}

/** The gateways in /proc/net/ipv6_route: sixteen bytes in hexadecimal, as they are. */
export function gateways6(text: string, index: (name: string) => number): Gateway[] {
  const found = new Map<string, Gateway>();
  for (const line of text.split('\n')) {
    const [, , , , hop = '', , , , flags = '', name] = line.trim().split(/\s+/);
    if (name === undefined || !/^[0-9a-f]{32}$/.test(hop) || (parseInt(flags, 16) & RTF_GATEWAY) === 0) continue;
    const address = new ipaddr.IPv6([...Buffer.from(hop, 'hex')]);
    const ip = address.toRFC5952String();
    found.set(`${ip} ${name}`, {ip, interface: name, scope: address.range() === 'linkLocal' ? index(name) : 0});
  }
  return [...found.values()];
}

/**
 * The addresses next to an own one, in its subnet: CNIs give them out in a row, so that on a bridge a neighbour is there
 * more likely than not.
 */
export function nextTo({ip, prefix}: OwnAddress): string[] {
  const own = ipaddr.parse(ip);
  const bytes = own.toByteArray();
  const bits = bytes.length * 8;
  if (bits - prefix < 2) return [];
  const near = [-1n, 1n].map((step) => toNumber(bytes) + step);
  const first = (toNumber(bytes) >> BigInt(bits - prefix)) << BigInt(bits - prefix);
  const last = first + (1n << BigInt(bits - prefix)) - 1n;
  return near.filter((n) => n > first && n < last).map((n) => toText(n, bytes.length));
}

const toNumber = (bytes: readonly number[]): bigint => bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);

function toText(value: bigint, length: number): string {
  const bytes = Array.from({length}, (_, i) => Number((value >> BigInt(8 * (length - 1 - i))) & 0xffn));
  return length === 4 ? new ipaddr.IPv4(bytes).toString() : new ipaddr.IPv6(bytes).toRFC5952String();
}
