/** Host names, authorities and host patterns: one spelling of each, compared as that. */
import type {Address} from '../request.ts';
import {formatAddress, parseAddress, parseLooseIpv4} from './addresses.ts';

/** RFC 1035 §2.3.4, without the trailing dot. */
const MAX_HOST_CHARACTERS = 253;
const MAX_LABEL_CHARACTERS = 63;

/**
 * A DNS name as it is compared: lower-case, without one trailing dot, punycode only, underscore allowed (RFC 8552).
 * null: no such name. A text whose last label is a number is an IPv4 address in some spelling and never a name.
 */
export function normalizeHost(text: string): string | null {
  let end = text.length;
  if (end > 0 && text.charCodeAt(end - 1) === 0x2e) end--;
  if (end === 0 || end > MAX_HOST_CHARACTERS) return null;
  let labelStart = 0;
  let upper = false;
  for (let i = 0; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x2e) {
      if (i === labelStart || i - labelStart > MAX_LABEL_CHARACTERS) return null;
      labelStart = i + 1;
    } else if (c >= 0x41 && c <= 0x5a) upper = true;
    else if (!((c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x5f)) return null;
  }
  if (labelStart === end || end - labelStart > MAX_LABEL_CHARACTERS) return null;
  if (isNumberLabel(text, labelStart, end)) return null;
  const name = end === text.length ? text : text.slice(0, end);
  return upper ? name.toLowerCase() : name;
}

/** WHATWG URL §3.5 "ends in a number": all digits, or 0x and hex digits. */
function isNumberLabel(text: string, from: number, to: number): boolean {
  let i = from;
  let hex = false;
  if (to - from >= 2 && text.charCodeAt(from) === 0x30 && (text.charCodeAt(from + 1) | 0x20) === 0x78) {
    hex = true;
    i += 2;
  }
  for (; i < to; i++) {
    const c = text.charCodeAt(i);
    if (c >= 0x30 && c <= 0x39) continue;
    const lower = c | 0x20;
    if (hex && lower >= 0x61 && lower <= 0x66) continue;
    return false;
  }
  return true;
}

/** host[:port], taken apart. */
export interface Authority {
  /** The normalized name, or the literal's canonical text (IPv6 without brackets). */
  readonly host: string;
  /** null: none was written. */
  readonly port: number | null;
  /** The address, where the host is a literal in any spelling (`0x7f.1` is 127.0.0.1); null: a name. */
  readonly literal: Address | null;
}

/** A Host header, :authority, CONNECT target or absolute-form's authority (RFC 3986 §3.2). null: malformed; userinfo is (RFC 9110 §4.2.4). */
export function parseAuthority(text: string): Authority | null {
  let host = text;
  let portText: string | null = null;
  if (text.startsWith('[')) {
    const close = text.indexOf(']');
    if (close === -1) return null;
    host = text.slice(1, close);
    if (close + 1 < text.length) {
      if (text.charCodeAt(close + 1) !== 0x3a) return null;
      portText = text.slice(close + 2);
    }
    const ip = host.includes(':') ? parseAddress(host) : null;
    const port = parsePort(portText);
    return ip === null || port === -1 ? null : literalAuthority(formatAddress(ip), port);
  }
  const colon = text.indexOf(':');
  if (colon !== -1) {
    host = text.slice(0, colon);
    portText = text.slice(colon + 1);
  }
  const port = parsePort(portText);
  if (port === -1) return null;
  const name = normalizeHost(host);
  if (name !== null) return {host: name, port, literal: null};
  const ip = parseLooseIpv4(host);
  return ip === null ? null : literalAuthority(formatAddress(ip), port);
}

function literalAuthority(literal: Address, port: number | null): Authority {
  return {host: literal, port, literal};
}

/** null: none written (an empty port is none, RFC 3986 §3.2.3); -1: no port. */
function parsePort(text: string | null): number | null {
  if (text === null || text === '') return null;
  if (text.length > 5) return -1;
  let port = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    port = port * 10 + digit;
  }
  return port === 0 || port > 65535 ? -1 : port;
}

/** An entry of a rule's or a proxy's `hosts`. `suffix` of `*.a.b` is `a.b`. */
export type HostPattern =
  | {readonly kind: 'any'}
  | {readonly kind: 'exact'; readonly host: string}
  | {readonly kind: 'suffix'; readonly suffix: string};

/** `a.b`, `*.a.b` or `*`, normalized; or what is wrong with it and what to write instead. */
export function parseHostPattern(
  text: string,
):
  | {readonly ok: true; readonly pattern: HostPattern; readonly text: string}
  | {readonly ok: false; readonly message: string; readonly fix: string} {
  const bad = (message: string, fix: string) => ({ok: false, message, fix}) as const;
  if (text === '*') return {ok: true, pattern: {kind: 'any'}, text};
  if (text === '') return bad('the host is empty', 'Write a name such as api.example.com, "*.example.com" or "*".');
  const wild = text.startsWith('*.');
  const rest = wild ? text.slice(2) : text;
  if (rest.includes('*'))
    return bad(
      'a star stands for whole labels and only as the first one',
      'Write "*.example.com" for every name below example.com, or list the names.',
    );
  if (text.includes('/') || text.includes('@'))
    return bad(
      'this is no host name',
      'Write the name alone, without scheme, path and user; paths go under http.paths.',
    );
  if (!wild && (parseAddress(text) !== null || text.startsWith('[')))
    return bad(
      'hosts match names only, and this is an IP address',
      'Move it to `to.cidrs`, as 192.0.2.1/32 or 2001:db8::1/128.',
    );
  if (text.includes(':')) return bad('a host has no port', 'Write the name alone and the port under `to.ports`.');
  for (let i = 0; i < text.length; i++)
    if (text.charCodeAt(i) > 0x7f)
      return bad('the name is not in its ASCII form', 'Write it in punycode, for example xn--bcher-kva.example.');
  const host = normalizeHost(rest);
  if (host === null && parseLooseIpv4(rest) !== null)
    return bad(
      'hosts match names only, and this reads as an IP address',
      'Move the address to `to.cidrs` in its usual form.',
    );
  if (host === null)
    return bad(
      'this is no valid host name',
      'Use letters, digits, hyphens and underscores in labels of 1 to 63 characters, 253 in all.',
    );
  return wild
    ? {ok: true, pattern: {kind: 'suffix', suffix: host}, text: `*.${host}`}
    : {ok: true, pattern: {kind: 'exact', host}, text: host};
}

/** Whether `host` (normalized) is the domain itself or below it. */
export function isUnder(host: string, domain: string): boolean {
  return domain !== '' && (host === domain || isBelow(host, domain));
}

/** Whether `host` (normalized) lies below the suffix, any depth, at a label boundary. */
export function isBelow(host: string, suffix: string): boolean {
  return (
    host.length > suffix.length + 1 &&
    host.charCodeAt(host.length - suffix.length - 1) === 0x2e &&
    host.endsWith(suffix)
  );
}
