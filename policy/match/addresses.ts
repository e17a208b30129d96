/** IP addresses as four 32-bit words, CIDRs as masked words, and the IPv4 addresses that IPv6 forms carry inside. */
import type {Address} from '../request.ts';

/** An address: IPv4 in `w3` alone, IPv6 in all four words, each an unsigned 32-bit number. */
export interface Ip {
  readonly family: 4 | 6;
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
}

export interface Cidr {
  readonly base: Ip;
  /** Bits: 0-32 or 0-128. */
  readonly prefix: number;
  /** The text had bits set right of the prefix (`10.1.2.3/8`): they are cleared in `base`. */
  readonly hostBits: boolean;
  /** Masks of the four words. */
  readonly m0: number;
  readonly m1: number;
  readonly m2: number;
  readonly m3: number;
}

/**
 * An address in its one legal spelling: a dotted quad of plain decimals, or RFC 4291 §2.2 text without zone and brackets.
 * null for everything else; the spellings of inet_aton (octal, hex, short forms) are parseLooseIpv4's.
 */
export function parseAddress(text: string): Ip | null {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** The canonical text of an address (RFC 5952 for IPv6, with a mapped address's tail in dotted form); null where it is none. */
export function canonicalAddress(text: string): Address | null {
  const ip = parseAddress(text);
  return ip === null ? null : formatAddress(ip);
}

function ipv4(word: number): Ip {
  return {family: 4, w0: 0, w1: 0, w2: 0, w3: word};
}

function parseIpv4(text: string): Ip | null {
  const word = parseQuad(text, 0);
  return word === -1 ? null : ipv4(word);
}

/** The word of the dotted quad that starts at `from` and fills the rest; -1: none. No leading zeros: they read as octal elsewhere. */
function parseQuad(text: string, from: number): number {
  let word = 0;
  let octet = -1;
  let dots = 0;
  let digits = 0;
  if (text.length - from < 7 || text.length - from > 15) return -1;
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x2e) {
      if (octet === -1 || dots === 3) return -1;
      word = word * 256 + octet;
      octet = -1;
      digits = 0;
      dots++;
    } else if (c >= 0x30 && c <= 0x39) {
      if (digits > 0 && octet === 0) return -1;
      octet = (octet === -1 ? 0 : octet * 10) + (c - 0x30);
      digits++;
      if (octet > 255) return -1;
    } else return -1;
  }
  return dots === 3 && octet !== -1 ? word * 256 + octet : -1;
}

function hexValue(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function parseIpv6(text: string): Ip | null {
  const groups: number[] = [];
  let gap = -1;
  let i = 0;
  if (text.length > 45) return null;
  if (text.startsWith('::')) {
    gap = 0;
    i = 2;
  }
  while (i < text.length) {
    const start = i;
    let value = 0;
    while (i < text.length) {
      const digit = hexValue(text.charCodeAt(i));
      if (digit === -1) break;
      value = value * 16 + digit;
      i++;
    }
    if (text[i] === '.') {
      // RFC 4291 §2.2 form 3: the last 32 bits as a dotted quad.
      const word = parseQuad(text, start);
      if (word === -1) return null;
      groups.push(word >>> 16, word & 0xffff);
      break;
    }
    if (i === start || i - start > 4) return null;
    groups.push(value);
    if (i === text.length) break;
    if (text[i] !== ':') return null;
    i++;
    if (text[i] === ':') {
      if (gap !== -1) return null;
      gap = groups.length;
      i++;
    } else if (i === text.length) return null;
  }
  if (gap === -1 ? groups.length !== 8 : groups.length > 7) return null;
  if (gap !== -1) groups.splice(gap, 0, ...new Array<number>(8 - groups.length).fill(0));
  const word = (at: number) => ((groups[at]! << 16) | groups[at + 1]!) >>> 0;
  return {family: 6, w0: word(0), w1: word(2), w2: word(4), w3: word(6)};
}

function quad(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

export function formatAddress(ip: Ip): Address {
  if (ip.family === 4) return quad(ip.w3);
  if (ip.w0 === 0 && ip.w1 === 0 && ip.w2 === 0xffff) return `::ffff:${quad(ip.w3)}`;
  const groups = [ip.w0, ip.w1, ip.w2, ip.w3].flatMap((word) => [word >>> 16, word & 0xffff]);
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > bestLength) {
      best = i;
      bestLength = j - i;
    }
    if (j > i) i = j;
  }
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  return best === -1 ? hex(groups) : `${hex(groups.slice(0, best))}::${hex(groups.slice(best + bestLength))}`;
}

/**
 * What inet_aton makes of a text (WHATWG URL "ends in a number"): one to four parts, decimal, octal (0...) or hex (0x...),
 * the last filling the rest. null: no such spelling, or out of range.
 */
export function parseLooseIpv4(text: string): Ip | null {
  const parts = (text.endsWith('.') ? text.slice(0, -1) : text).split('.');
  if (parts.length > 4) return null;
  let word = 0;
  for (let i = 0; i < parts.length; i++) {
    const value = looseNumber(parts[i]!);
    if (value === -1) return null;
    if (i < parts.length - 1) {
      if (value > 255) return null;
      word = word * 256 + value;
    } else {
      const room = 256 ** (5 - parts.length);
      if (value >= room) return null;
      word = word * room + value;
    }
  }
  return ipv4(word);
}

function looseNumber(part: string): number {
  let radix = 10;
  let from = 0;
  if (part === '') return -1;
  if (part.startsWith('0x') || part.startsWith('0X')) {
    radix = 16;
    from = 2;
  } else if (part.length > 1 && part.startsWith('0')) {
    radix = 8;
    from = 1;
  }
  // `0x` alone is 0 to some and no number to others.
  if (from === part.length) return -1;
  let value = 0;
  for (let i = from; i < part.length; i++) {
    const digit = hexValue(part.charCodeAt(i));
    if (digit === -1 || digit >= radix) return -1;
    value = value * radix + digit;
    if (value > 0xffffffff) return -1;
  }
  return value;
}

/** `10.0.0.0/8`, `2001:db8::/32`, or an address alone (all its bits). null where it is none. */
export function parseCidr(text: string): Cidr | null {
  const slash = text.indexOf('/');
  const ip = parseAddress(slash === -1 ? text : text.slice(0, slash));
  if (ip === null) return null;
  const bits = ip.family === 4 ? 32 : 128;
  if (slash === -1) return makeCidr(ip, bits);
  const digits = text.slice(slash + 1);
  if (digits.length === 0 || digits.length > 3 || (digits.length > 1 && digits.startsWith('0'))) return null;
  let prefix = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = digits.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return null;
    prefix = prefix * 10 + digit;
  }
  return prefix > bits ? null : makeCidr(ip, prefix);
}

function mask(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? 0xffffffff : (0xffffffff << (32 - bits)) >>> 0;
}

export function makeCidr(ip: Ip, prefix: number): Cidr {
  const at = ip.family === 4 ? prefix + 96 : prefix;
  const m0 = mask(at);
  const m1 = mask(at - 32);
  const m2 = mask(at - 64);
  const m3 = mask(at - 96);
  const base: Ip = {
    family: ip.family,
    w0: (ip.w0 & m0) >>> 0,
    w1: (ip.w1 & m1) >>> 0,
    w2: (ip.w2 & m2) >>> 0,
    w3: (ip.w3 & m3) >>> 0,
  };
  const hostBits = base.w0 !== ip.w0 || base.w1 !== ip.w1 || base.w2 !== ip.w2 || base.w3 !== ip.w3;
  return {base, prefix, hostBits, m0, m1, m2, m3};
}

export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.base)}/${cidr.prefix}`;
}

/** Whether the range holds the address; families never mix (what an IPv6 address embeds is asked separately). */
export function cidrHolds(cidr: Cidr, ip: Ip): boolean {
  const {base} = cidr;
  return (
    base.family === ip.family &&
    (ip.w3 & cidr.m3) >>> 0 === base.w3 &&
    (ip.w2 & cidr.m2) >>> 0 === base.w2 &&
    (ip.w1 & cidr.m1) >>> 0 === base.w1 &&
    (ip.w0 & cidr.m0) >>> 0 === base.w0
  );
}

/** Whether `inner` lies wholly in `outer`. */
export function cidrInside(inner: Cidr, outer: Cidr): boolean {
  return inner.prefix >= outer.prefix && cidrHolds(outer, inner.base);
}

const WELL_KNOWN_NAT64 = parseCidr('64:ff9b::/96')!;
const LOCAL_NAT64 = parseCidr('64:ff9b:1::/48')!;
/** RFC 6052 §2.2: the only lengths that a NAT64 prefix may have. */
export const NAT64_PREFIX_LENGTHS: readonly number[] = [32, 40, 48, 56, 64, 96];

/** The IPv4 word that an address under a NAT64 prefix of this length carries; bits 64-71 are skipped (RFC 6052 §2.2). */
function nat64Word(ip: Ip, prefix: number): number {
  switch (prefix) {
    case 32:
      return ip.w1;
    case 40:
      return (((ip.w1 << 8) >>> 0) | ((ip.w2 >>> 16) & 0xff)) >>> 0;
    case 48:
      return (((ip.w1 << 16) >>> 0) | ((ip.w2 >>> 8) & 0xffff)) >>> 0;
    case 56:
      return (((ip.w1 << 24) >>> 0) | (ip.w2 & 0xffffff)) >>> 0;
    case 64:
      return (((ip.w2 << 8) >>> 0) | (ip.w3 >>> 24)) >>> 0;
    default:
      return ip.w3;
  }
}

/**
 * The IPv4 addresses that an IPv6 address embeds: mapped, compatible, NAT64 (well-known, local-use and configured), 6to4, Teredo.
 * Where the form is not certain (64:ff9b:1::/48 without its own prefix configured) every form that could be meant.
 */
export function embeddedIpv4(ip: Ip, nat64Prefixes: readonly Cidr[]): readonly Ip[] {
  if (ip.family === 4) return NONE;
  if (ip.w0 === 0 && ip.w1 === 0) {
    // RFC 4291 §2.5.5; :: and ::1 are no embedded addresses but classes of their own.
    if (ip.w2 === 0xffff || (ip.w2 === 0 && ip.w3 > 1)) return [ipv4(ip.w3)];
    // RFC 2765 ::ffff:0:a.b.c.d, still translated by some stacks.
    if (ip.w2 === 0xffff0000) return [ipv4(ip.w3)];
  }
  for (const prefix of nat64Prefixes) if (cidrHolds(prefix, ip)) return [ipv4(nat64Word(ip, prefix.prefix))];
  if (cidrHolds(WELL_KNOWN_NAT64, ip)) return [ipv4(ip.w3)];
  if (cidrHolds(LOCAL_NAT64, ip)) {
    // RFC 8215: the /48 is cut as its owner likes. A form whose bits are all zero is not the one in use.
    const words = [96, 48, 56, 64].map((length) => nat64Word(ip, length)).filter((word) => word !== 0);
    return words.length === 0 ? [ipv4(0)] : words.map(ipv4);
  }
  if (ip.w0 >>> 16 === 0x2002) return [ipv4((((ip.w0 << 16) >>> 0) | (ip.w1 >>> 16)) >>> 0)];
  // RFC 4380 §4: the server's address in the clear, the client's with its bits flipped.
  if (ip.w0 === 0x20010000) return [ipv4(ip.w1), ipv4(~ip.w3 >>> 0)];
  return NONE;
}

const NONE: readonly Ip[] = [];

/** A test whether an address lies in one of the ranges, or embeds one that does (`::ffff:10.0.0.1` in 10.0.0.0/8). What is no address does not. */
export function inAnyCidr(texts: readonly string[]): (address: Address) => boolean {
  const cidrs = texts.flatMap((text) => parseCidr(text) ?? []);
  return (address) => {
    const ip = parseAddress(address);
    if (ip === null) return false;
    return [ip, ...embeddedIpv4(ip, NO_PREFIXES)].some((one) => cidrs.some((cidr) => cidrHolds(cidr, one)));
  };
}

const NO_PREFIXES: readonly Cidr[] = [];
