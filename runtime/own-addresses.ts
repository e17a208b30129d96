/** The machine's own addresses: the nodes' class for the policy, and where no request may lead back to us. */
import {networkInterfaces} from 'node:os';
import {canonicalAddress, type Address} from '../policy/index.ts';

/** Every address of this machine but loopback ones, whose class is their own. Those put on `lo` (anycast, BGP) are among them. */
export function ownAddresses(): Address[] {
  const found: Address[] = [];
  for (const addresses of Object.values(networkInterfaces())) {
    for (const {address} of addresses ?? []) {
      const ip = canonicalAddress(address.split('%')[0]!);
      if (ip !== null && !isLoopback(ip)) found.push(ip);
    }
  }
  return found;
}

const hostCidr = (ip: Address): string => `${ip}/${ip.includes(':') ? 128 : 32}`;

/** As host CIDRs, to stand beside --node-cidr. */
export const ownCidrs = (): string[] => ownAddresses().map(hostCidr);

/** As ownCidrs(), to be compared: without fe80::/10, a class of its own, of which each new pod interface brings one. */
export const changingCidrs = (): string[] =>
  ownAddresses()
    .filter((ip) => !ip.startsWith('fe80:'))
    .map(hostCidr)
    .sort();

/**
 * Whether an address and port are one of our listeners (invariant 6: no request through the proxy to the proxy). Asked of
 * the kernel each time, but only for our own port numbers: an interface may come later than we did.
 */
export function ownListener(ports: readonly number[]): (ip: Address, port: number) => boolean {
  return (ip, port) => ports.includes(port) && isOwnAddress(ip);
}

/** Whether an address is this machine's, loopback included; an IPv4 one may come in its mapped form. */
export function isOwnAddress(address: string): boolean {
  const text = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address.split('%')[0]!;
  const ip = canonicalAddress(text);
  return ip !== null && (isLoopback(ip) || ownAddresses().includes(ip));
}

const isLoopback = (ip: Address): boolean => ip.startsWith('127.') || ip === '::1' || ip === '0.0.0.0' || ip === '::';
