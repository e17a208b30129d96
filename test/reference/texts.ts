/** Hosts, globs, readings and addresses as POLICY.md says them, by regular expressions and ipaddr.js: slow and plain. */
import ipaddr from 'ipaddr.js';

type Addr = ipaddr.IPv4 | ipaddr.IPv6;

export const addr = (text: string): Addr => ipaddr.parse(text);

export function inside(ip: Addr, cidr: string): boolean {
  const [net, bits] = ipaddr.parseCIDR(cidr.includes('/') ? cidr : `${cidr}/${cidr.includes(':') ? 128 : 32}`);
  return ip.kind() === net.kind() && ip.match(net, bits);
}

const bitsOf = (cidr: string): number => Number(cidr.split('/')[1] ?? (cidr.includes(':') ? 128 : 32));

/** `inner` lies in `outer`. */
export const within = (inner: string, outer: string): boolean =>
  bitsOf(inner) >= bitsOf(outer) && inside(addr(inner.split('/')[0]!), outer);

/** The IPv4 addresses inside an IPv6 form. */
export function embedded(ip: Addr): Addr[] {
  if (ip.kind() === 'ipv4') return [];
  const b = ip.toByteArray();
  const v4 = (...bytes: number[]): Addr => new ipaddr.IPv4(bytes);
  const last = (): Addr => v4(...b.slice(12));
  if (inside(ip, '::ffff:0:0/96') || inside(ip, '64:ff9b::/96')) return [last()];
  if (inside(ip, '::/96') && !inside(ip, '::/127')) return [last()];
  if (inside(ip, '2002::/16')) return [v4(...b.slice(2, 6))];
  if (inside(ip, '2001::/32')) return [v4(...b.slice(4, 8)), v4(...b.slice(12).map((one) => one ^ 255))];
  return [];
}

/** A name as it is compared; null: none. */
export function host(text: string): string | null {
  const name = text.toLowerCase().replace(/\.$/, '');
  if (name.length > 253 || !/^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(name)) return null;
  return /(^|\.)(\d+|0x[0-9a-f]*)$/.test(name) ? null : name;
}

export interface Place {
  readonly host: string;
  readonly literal: boolean;
  readonly port: number | null;
}

export function authority(text: string): Place | null {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{0,5}))?$/.exec(text);
  if (match === null) return null;
  const port = match[3] === undefined || match[3] === '' ? null : Number(match[3]);
  if (port !== null && (port < 1 || port > 65535)) return null;
  if (match[1] !== undefined)
    return match[1].includes(':') && !match[1].includes('%') && ipaddr.IPv6.isValid(match[1])
      ? {host: canonical(match[1]), literal: true, port}
      : null;
  const name = host(match[2]!);
  if (name !== null) return {host: name, literal: false, port};
  const loose = match[2]!.replace(/\.$/, '');
  return ipaddr.IPv4.isValid(loose) ? {host: ipaddr.IPv4.parse(loose).toString(), literal: true, port} : null;
}

/** RFC 5952, mapped addresses with a dotted tail. */
export function canonical(text: string): string {
  const ip = addr(text);
  if (ip.kind() === 'ipv6' && inside(ip, '::ffff:0:0/96')) return `::ffff:${ip.toByteArray().slice(12).join('.')}`;
  return ip.toString();
}

export const below = (name: string, suffix: string): boolean => name.endsWith(`.${suffix}`);
export const under = (name: string, domain: string): boolean => name === domain || below(name, domain);

export function holdsHost(pattern: string, name: string): boolean {
  if (pattern === '*') return true;
  return pattern.startsWith('*.') ? below(name, pattern.slice(2)) : pattern === name;
}

/** `path`: `*` stops at a slash, `**` does not; else `*` is any characters. */
export function glob(pattern: string, text: string, path: boolean, ignoreCase: boolean): boolean {
  const source = pattern
    .split(/(\*\*|\*)/)
    .map((part) => (part === '**' ? '[^]*' : part === '*' ? (path ? '[^/]*' : '[^]*') : part.replace(/[^\w]/g, '\\$&')))
    .join('');
  return new RegExp(`^${source}$`, ignoreCase ? 'i' : '').test(text);
}

/** Unreserved escapes decoded, the others in upper case. */
const normal = (text: string): string =>
  text.replace(/%([0-9a-f]{2})/gi, (escape, hex: string) => {
    const character = String.fromCharCode(parseInt(hex, 16));
    return /[A-Za-z0-9._~-]/.test(character) ? character : escape.toUpperCase();
  });

const decoded = (text: string): string =>
  normal(
    text
      .replace(/%([0-9a-f]{2})/gi, (escape, hex: string) => {
        const byte = parseInt(hex, 16);
        return byte <= 0x20 || byte >= 0x7f ? escape : String.fromCharCode(byte);
      })
      .replace(/%(?![0-9a-f]{2})/gi, '%25'),
  );

function dots(text: string): string {
  const out: string[] = [];
  const parts = text.split('/');
  parts.forEach((part, i) => {
    if (part !== '.' && part !== '..') out.push(part);
    else {
      if (part === '..' && out.length > 1) out.pop();
      if (i === parts.length - 1) out.push('');
    }
  });
  return out.join('/');
}

const WAYS: readonly ((text: string) => string)[] = [
  decoded,
  (text) => text.replace(/%2F/g, '/'),
  (text) => text.replace(/%5C/g, '/'),
  (text) => text.replace(/\\/g, '/'),
  (text) => text.replace(/;[^/]*/g, ''),
  (text) => text.replace(/\/{2,}/g, '/'),
  dots,
];

const HARM = /%(?:[01][0-9A-F]|7F|C[01]|E0%[89][0-9A-F]|F0%8[0-9A-F]|F8%8[0-7]|FC%8[0-3])/;

/** All readings of a path, the literal one first; or the reason why none is judged. */
export function readings(path: string): string[] | 'AmbiguousPath' | 'MalformedRequest' {
  if ([...path].some((one) => one < ' ' || one === '\x7f')) return 'AmbiguousPath';
  if (/[ #]/.test(path)) return 'MalformedRequest';
  if (/%(?![0-9a-f]{2})/i.test(path)) return 'AmbiguousPath';
  const first = normal(path);
  const found = new Set<string>();
  for (let ways = 0; ways < 1 << WAYS.length; ways++) {
    let text = first;
    WAYS.forEach((way, i) => {
      if (((ways >> i) & 1) === 1) text = way(text);
    });
    found.add(text);
  }
  if (found.size > 64 || [...found].some((text) => HARM.test(text))) return 'AmbiguousPath';
  return [...found];
}

export type Query = ReadonlyMap<string, readonly string[]>;

export function queries(query: string | null): Query[] {
  if (query === null || query === '') return [new Map()];
  const read = (separator: RegExp, plus: boolean): Query => {
    const out = new Map<string, string[]>();
    for (const part of query.split(separator).filter((one) => one !== '')) {
      const [name, ...rest] = part.split('=');
      const decode = (text: string): string => decodeURIComponent(plus ? text.replace(/\+/g, ' ') : text);
      out.set(decode(name!), [...(out.get(decode(name!)) ?? []), decode(rest.join('='))]);
    }
    return out;
  };
  const out = [read(/&/, false)];
  if (query.includes(';')) out.push(read(/[&;]/, false));
  if (query.includes('+')) out.push(read(/&/, true));
  if (query.includes(';') && query.includes('+')) out.push(read(/[&;]/, true));
  return out;
}
