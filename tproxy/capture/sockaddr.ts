/** struct sockaddr_in and sockaddr_in6, to and from text. Pure. */
import {endianness} from 'node:os';
import ipaddr from 'ipaddr.js';
import type {Endpoint} from '../../policy/index.ts';
import {SYS} from './libc.ts';

const littleEndian = endianness() === 'LE';

/** The address family of an IP literal. Throws TypeError for what is none. */
export function familyOf(ip: string): 4 | 6 {
  if (ipaddr.IPv4.isValidFourPartDecimal(ip)) return 4;
  if (ipaddr.IPv6.isValid(ip)) return 6;
  throw new TypeError(`${JSON.stringify(ip)} is no IP address`);
}

/** The sockaddr of an address without a zone. */
export function sockaddr(ip: string, port: number): Buffer {
  const family = familyOf(ip);
  const bytes = ipaddr.parse(ip).toByteArray();
  const buffer = Buffer.alloc(family === 4 ? 16 : 28);
  writeFamily(buffer, family === 4 ? SYS.AF_INET : SYS.AF_INET6);
  buffer.writeUInt16BE(port, 2);
  // sockaddr_in: address at 4. sockaddr_in6: flow information at 4, address at 8, scope at 24.
  buffer.set(bytes, family === 4 ? 4 : 8);
  return buffer;
}

/** The address in a sockaddr; null for another family or too few bytes. */
export function parseSockaddr(buffer: Buffer): Endpoint | null {
  if (buffer.length < 16) return null;
  const family = littleEndian ? buffer.readUInt16LE(0) : buffer.readUInt16BE(0);
  const port = buffer.readUInt16BE(2);
  if (family === SYS.AF_INET) return {ip: new ipaddr.IPv4([...buffer.subarray(4, 8)]).toString(), port};
  if (family === SYS.AF_INET6 && buffer.length >= 24)
    return {ip: new ipaddr.IPv6([...buffer.subarray(8, 24)]).toRFC5952String(), port};
  return null;
}

function writeFamily(buffer: Buffer, family: number): void {
  if (littleEndian) buffer.writeUInt16LE(family, 0);
  else buffer.writeUInt16BE(family, 0);
}
