/** Reading URLs and `host:port` as a case writes them, without tidying anything up. */
import {isIP, isIPv6} from 'node:net';
import type {HostPort, RequestUrl} from './case.ts';

/** `name:443`, `10.0.0.1:443` or `[fd00::1]:443`; null where it is none of these. */
export function parseHostPort(text: string): HostPort | null {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (found === null) return null;
  const port = Number(found[3]);
  if (port < 1 || port > 65535 || (found[1] !== undefined && !isIPv6(found[1]))) return null;
  return {host: (found[1] ?? found[2])!, port};
}

/** Brackets around an IPv6 literal, and around nothing else. */
export const bracketed = (host: string): string => (isIP(host) === 6 ? `[${host}]` : host);

/** `host:port` with the brackets that a URL needs. */
export const joinHostPort = (host: string, port: number): string => `${bracketed(host)}:${port}`;

/** Splits an http or https URL, path and query as written; null where it is none. */
export function parseUrl(text: string): RequestUrl | null {
  const found = /^(https?):\/\/([^/?#]+)([^?#]*)(?:\?([^#]*))?$/.exec(text);
  if (found === null) return null;
  const scheme = found[1] as 'https' | 'http';
  const authority = found[2]!;
  const port = scheme === 'https' ? 443 : 80;
  const place = parseHostPort(authority) ?? parseHostPort(`${authority}:${port}`);
  if (place === null) return null;
  return {
    text,
    scheme,
    host: place.host,
    port: place.port,
    authority,
    path: found[3] === '' ? '/' : found[3]!,
    query: found[4] ?? null,
  };
}

/** The name by which a world knows a host: lower-case, without one trailing dot. */
export const worldName = (host: string): string => host.toLowerCase().replace(/\.$/, '');

/** Dot segments removed, as a client does that does not send the path as it is (RFC 3986 5.2.4). */
export function withoutDotSegments(path: string): string {
  const out: string[] = [];
  const segments = path.split('/').slice(1);
  segments.forEach((segment, i) => {
    const plain = segment.replace(/%2e/gi, '.');
    const last = i === segments.length - 1;
    if (plain === '..') out.pop();
    if (plain === '.' || plain === '..') {
      if (last) out.push('');
    } else {
      out.push(segment);
    }
  });
  return `/${out.join('/')}`;
}

/** An address as the dataplane would see it: IPv6 compressed, an IPv4-mapped one as IPv4 (the kernel connects it so). */
export function canonical(ip: string): string {
  if (isIP(ip) !== 6) return ip;
  const text = new URL(`http://[${ip}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(text);
  if (mapped === null) return text;
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}
