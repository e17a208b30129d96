/**
 * Step 1 of the order of decision: is the question well-formed, and do all the names in it agree? What comes out is the
 * one name (or literal) and port that everything after it is about.
 */
import type {Reason} from '../reasons.ts';
import type {EgressRequest, HttpRequest, TlsHello} from '../request.ts';
import {parseAddress, type Ip} from '../match/addresses.ts';
import {parseAuthority, type Authority} from '../match/hosts.ts';
import {MAX_READINGS, readPath} from '../match/readings.ts';

/** Where the question is about, in one spelling. */
export interface Subject {
  /** The claimed name, lower-case without trailing dot; null: a literal, or nothing was claimed. */
  readonly name: string | null;
  /** The literal that was claimed, or (where nothing was) the original destination; null: a name, or nothing known. */
  readonly literal: Ip | null;
  /** The original destination; null on the explicit port. */
  readonly original: Ip | null;
  readonly port: number;
  /** `name`, or the literal's text; for messages. Safe characters only. */
  readonly text: string;
  /** Readings of method and path; null outside of http and https. */
  readonly readings: Readings | null;
}

export interface Readings {
  /** The literal one first. */
  readonly methods: readonly string[];
  readonly paths: readonly string[];
  /** Queries: the request's own first, then those of override headers. */
  readonly queries: readonly (string | null)[];
}

export interface Refused {
  readonly refused: Reason;
  readonly message: string;
}

const refuse = (refused: Reason, message: string): Refused => ({refused, message});

export function readSubject(request: EgressRequest): Subject | Refused {
  const {traffic, destination} = request;
  // 0. Protocols that nobody can vouch for come before everything else.
  if (traffic.kind === 'http' || traffic.kind === 'https') {
    const unsupported = unsupportedProtocol(request, traffic.http);
    if (unsupported !== null) return unsupported;
  }
  const original = destination.ip === null ? null : parseAddress(destination.ip);
  if (destination.ip !== null && original === null)
    return refuse('MalformedRequest', 'The destination address cannot be read.');
  if (!Number.isInteger(destination.port) || destination.port < 1 || destination.port > 65535)
    return refuse('MalformedRequest', 'The destination port cannot be read.');
  const names = readNames(request);
  if ('refused' in names) return names;
  const first = names[0];
  for (const claim of names) {
    const {authority, what} = claim;
    if (
      authority.host !== first!.authority.host ||
      (authority.literal === null) !== (first!.authority.literal === null)
    )
      return refuse('HostMismatch', `${first!.what} says ${first!.authority.host}, ${what} says ${authority.host}.`);
    if (authority.port !== null && authority.port !== destination.port)
      return refuse(
        'HostMismatch',
        `The connection is to port ${destination.port}, ${what} says port ${authority.port}.`,
      );
  }
  let readings: Readings | null = null;
  if (traffic.kind === 'http' || traffic.kind === 'https') {
    const read = readRequest(traffic.http);
    if ('refused' in read) return read;
    readings = read;
  }
  const claimed = first?.authority ?? null;
  const literal = claimed === null ? original : claimed.literal === null ? null : parseAddress(claimed.literal);
  return {
    name: claimed === null || claimed.literal !== null ? null : claimed.host,
    literal,
    original,
    port: destination.port,
    text: claimed?.host ?? destination.ip ?? 'an unknown destination',
    readings,
  };
}

function unsupportedProtocol(request: EgressRequest, http: HttpRequest): Refused | null {
  const websocket = http.upgrade.length === 1 && http.upgrade[0] === 'websocket';
  if (http.method === 'CONNECT') {
    // RFC 8441: an extended CONNECT has a :protocol. A plain one in captured traffic or inside a tunnel is a tunnel to anywhere.
    if (http.version === '2' && websocket) return null;
    return refuse(
      'UnsupportedProtocol',
      http.upgrade.length > 0
        ? 'Of extended CONNECTs only websocket is let through.'
        : request.connectAuthority === null
          ? 'CONNECT is for the explicit proxy port.'
          : 'CONNECT inside a tunnel is a tunnel to anywhere.',
    );
  }
  if (http.upgrade.length === 0 || websocket) return null;
  return refuse('UnsupportedProtocol', 'Of protocol upgrades only websocket is let through.');
}

interface Claim {
  readonly authority: Authority;
  readonly what: string;
}

const malformed = (what: string): Refused => refuse('MalformedRequest', `${what} is no host name and no address.`);

/** Everything that says where this goes; empty: nothing does (captured bytes that are no protocol of ours). */
function readNames(request: EgressRequest): Claim[] | Refused {
  const {traffic, destination, connectAuthority} = request;
  const claims: Claim[] = [];
  let lastText: string | null = null;
  const claim = (text: string, what: string): Refused | null => {
    // Nearly always all of them are the same text.
    const authority: Authority | null = text === lastText ? claims[claims.length - 1]!.authority : parseAuthority(text);
    if (authority === null) return malformed(what);
    lastText = text;
    claims.push({authority, what});
    return null;
  };
  if (connectAuthority !== null) {
    const bad = claim(bracketed(connectAuthority.host), 'the CONNECT authority');
    if (bad !== null) return bad;
    if (connectAuthority.port !== destination.port)
      return refuse('HostMismatch', 'The CONNECT authority names another port than the connection.');
  }
  if (destination.host !== null) {
    const bad = claim(bracketed(destination.host), 'the proxy request');
    if (bad !== null) return bad;
  }
  switch (traffic.kind) {
    case 'unread':
    case 'opaque':
      break;
    case 'tls': {
      const bad = claimSni(traffic.tls, claim);
      if (bad !== null) return bad;
      break;
    }
    case 'https': {
      const bad = claimSni(traffic.tls, claim);
      if (bad !== null) return bad;
      // Without SNI and CONNECT the name is the address that was dialled: Host must be that literal.
      if (claims.length === 0 && destination.ip !== null) {
        const original = claim(bracketed(destination.ip), 'the destination without SNI');
        if (original !== null) return original;
      }
      const bad2 = claimHttp(traffic.http, 'https', claim);
      if (bad2 !== null) return bad2;
      break;
    }
    case 'http': {
      const bad = claimHttp(traffic.http, 'http', claim);
      if (bad !== null) return bad;
      break;
    }
  }
  if (claims.length === 0 && destination.ip === null)
    return refuse('MalformedRequest', 'Nothing says where this is to go.');
  return claims;
}

const bracketed = (host: string): string => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);

function claimSni(tls: TlsHello, claim: (text: string, what: string) => Refused | null): Refused | null {
  if (tls.sni === null || tls.sni === '') return null;
  // RFC 6066 §3 wants a name; a literal is compared as one all the same. A port is no part of it.
  if (tls.sni.includes(':') || tls.sni.includes('[')) return malformed('the SNI');
  return claim(tls.sni, 'the SNI');
}

function claimHttp(
  http: HttpRequest,
  scheme: 'https' | 'http',
  claim: (text: string, what: string) => Refused | null,
): Refused | null {
  if (http.scheme !== null && http.scheme.toLowerCase() !== scheme)
    return refuse(
      'HostMismatch',
      scheme === 'https'
        ? 'A target of another scheme inside TLS.'
        : 'The target is of another scheme than the connection.',
    );
  if (http.authority !== null) {
    const bad = claim(http.authority, http.version === '2' ? ':authority' : 'the absolute-form target');
    if (bad !== null) return bad;
  }
  if (http.host !== null) return claim(http.host, 'Host');
  // RFC 9112 §3.2: HTTP/1.1 without Host is malformed; RFC 9113 §8.3.1: one of :authority and host.
  if (http.version === '1.1' || (http.version === '2' && http.authority === null))
    return refuse('MalformedRequest', 'The request names no host.');
  return null;
}

const METHOD_OVERRIDES: ReadonlySet<string> = new Set(['x-http-method-override', 'x-http-method', 'x-method-override']);
const PATH_OVERRIDES: ReadonlySet<string> = new Set(['x-original-url', 'x-rewrite-url']);

function readRequest(http: HttpRequest): Readings | Refused {
  if (!isToken(http.method)) return refuse('MalformedRequest', 'The method is no token (RFC 9110 §9.1).');
  if (http.query !== null && hasControl(http.query))
    return refuse('MalformedRequest', 'The query holds bytes that no request target has.');
  // RFC 8441 §5: the websocket CONNECT of HTTP/2 is the GET of HTTP/1.1, and rules see it as that.
  const method = http.method === 'CONNECT' ? 'GET' : http.method;
  let paths: readonly string[];
  if (http.path === '*') {
    if (method !== 'OPTIONS') return refuse('MalformedRequest', 'Only OPTIONS has the target "*".');
    paths = ASTERISK;
  } else {
    const path = http.path === '' ? '/' : http.path;
    if (!path.startsWith('/')) return refuse('MalformedRequest', 'The path does not begin with a slash.');
    const read = readPath(path);
    if (!read.ok) return refuse(read.ambiguous ? 'AmbiguousPath' : 'MalformedRequest', `${capital(read.message)}.`);
    paths = read.texts;
  }
  const {headers} = http;
  let overrides: Overrides | null = null;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i]!;
    // The shortest of these names has 13 characters, the longest 22; all begin with X.
    if (name.length < 13 || name.length > 22 || (name.charCodeAt(0) | 0x20) !== 0x78) continue;
    const lower = name.toLowerCase();
    if (METHOD_OVERRIDES.has(lower)) {
      overrides ??= newOverrides(method, paths, http.query);
      overrides.methods.add(headers[i + 1]!.trim().toUpperCase());
    } else if (PATH_OVERRIDES.has(lower)) {
      overrides ??= newOverrides(method, paths, http.query);
      const bad = addPath(headers[i + 1]!.trim(), overrides);
      if (bad !== null) return bad;
    }
  }
  if (overrides === null) return {methods: [method], paths, queries: [http.query]};
  if (overrides.methods.size * overrides.paths.size > MAX_READINGS || overrides.queries.size > MAX_READINGS)
    return refuse('AmbiguousPath', `The request can be read in more than ${MAX_READINGS} ways.`);
  return {methods: [...overrides.methods], paths: [...overrides.paths], queries: [...overrides.queries]};
}

interface Overrides {
  readonly methods: Set<string>;
  readonly paths: Set<string>;
  readonly queries: Set<string | null>;
}

function newOverrides(method: string, paths: readonly string[], query: string | null): Overrides {
  return {methods: new Set([method]), paths: new Set(paths), queries: new Set([query])};
}

/** The path of an override header: origin-form, or a URL of which the path counts. */
function addPath(value: string, into: Overrides): Refused | null {
  let target = value;
  const scheme = target.indexOf('://');
  if (scheme !== -1 && !target.startsWith('/')) {
    const slash = target.indexOf('/', scheme + 3);
    target = slash === -1 ? '/' : target.slice(slash);
  }
  const hash = target.indexOf('#');
  if (hash !== -1) target = target.slice(0, hash);
  const mark = target.indexOf('?');
  if (mark !== -1) {
    into.queries.add(target.slice(mark + 1));
    target = target.slice(0, mark);
  }
  const read = readPath(target.startsWith('/') ? target : `/${target}`);
  if (!read.ok) return refuse('AmbiguousPath', `In a header that overrides the path: ${read.message}.`);
  for (const text of read.texts) into.paths.add(text);
  return null;
}

const ASTERISK: readonly string[] = ['*'];

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c <= 0x20 || c === 0x7f || c > 0xff) return true;
  }
  return false;
}

/** RFC 9110 §5.6.2. */
function isToken(text: string): boolean {
  if (text === '') return false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if ((c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39)) continue;
    if (!"!#$%&'*+-.^_`|~".includes(text[i]!)) return false;
  }
  return true;
}
