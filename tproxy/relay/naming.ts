/** Names and addresses as the relay compares them. */
import {parseAuthority, type Address, type EgressRequest} from '../../policy/index.ts';

/** A socket's address as canonical text: an IPv4-mapped one is the IPv4 address (RFC 4291 §2.5.5.2), zones are dropped. */
export function canonicalAddress(text: string | undefined): Address {
  if (text === undefined) return '';
  const zone = text.indexOf('%');
  const bare = zone < 0 ? text : text.slice(0, zone);
  return bare.startsWith('::ffff:') && bare.includes('.') ? bare.slice(7) : bare;
}

/** An authority's host and port as written, an IPv6 literal without its brackets; null port where none is written; null where it is no authority. */
export function splitAuthority(text: string): {readonly host: string; readonly port: number | null} | null {
  let host = text;
  let portText: string | null = null;
  if (text.startsWith('[')) {
    const close = text.indexOf(']');
    if (close < 0) return null;
    host = text.slice(1, close);
    const after = text.slice(close + 1);
    if (after !== '') {
      if (!after.startsWith(':')) return null;
      portText = after.slice(1);
    }
  } else {
    const colon = text.lastIndexOf(':');
    if (colon >= 0) {
      host = text.slice(0, colon);
      if (host.includes(':')) return null;
      portText = text.slice(colon + 1);
    }
  }
  if (host === '') return null;
  if (portText === null) return {host, port: null};
  const port = portNumber(portText);
  return port === null ? null : {host, port};
}

/** Decimal digits only, 1 to 65535; "+80", " 80" and "0x50" are no ports. */
function portNumber(text: string): number | null {
  if (text.length === 0 || text.length > 5) return null;
  let port = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return null;
    port = port * 10 + digit;
  }
  return port >= 1 && port <= 65535 ? port : null;
}

/** The name that the connection or request claims, in the spelling that it was judged in: for the route and the leaf. */
export function claimedName(request: EgressRequest): string {
  const {traffic, connectAuthority, destination} = request;
  const place = connectAuthority?.host ?? destination.host ?? destination.ip ?? '';
  switch (traffic.kind) {
    case 'tls':
    case 'https':
      return normal(traffic.tls.sni ?? place);
    case 'http':
      return normal(traffic.http.authority ?? traffic.http.host ?? place);
    case 'unread':
    case 'opaque':
      return normal(place);
  }
}

/** Lower-case, without one trailing dot and without a port; a literal in its canonical spelling. What cannot be read stays as it is, and was refused. */
function normal(text: string): string {
  const bare =
    text.includes(':') && !text.startsWith('[') && text.indexOf(':') !== text.lastIndexOf(':') ? `[${text}]` : text;
  return parseAuthority(bare)?.host ?? text.toLowerCase();
}
