/** Attributes to an EgressRequest: what Envoy says becomes the one question that the policy is asked, in either mode. */
import {
  parseAuthority,
  type Destination,
  type EgressRequest,
  type HttpRequest,
  type Reason,
  type TlsHello,
  type Traffic,
  type Workload,
} from '../../policy/index.ts';
import type {Asker} from './asker.ts';
import type {AskedHttp, Attributes} from './attributes.ts';
import {destinationOf, sourceOf} from './ends.ts';

/** What cannot even be asked: refused with this reason. */
export interface Unaskable {
  readonly unaskable: Reason;
  readonly message: string;
}

const unaskable = (reason: Reason, message: string): Unaskable => ({unaskable: reason, message});

/** Ports of a name that is dialled by Envoy's own rules: those of dynamic_forward_proxy. */
const DEFAULT_PORT = {http: 80, https: 443} as const;

export function toEgressRequest(
  id: string,
  attributes: Attributes,
  asker: Asker,
  workload: Workload | 'unknown',
): EgressRequest | Unaskable {
  const {source, destination, http} = attributes;
  const traffic = http === null ? sealedTraffic(attributes, asker) : webTraffic(http, attributes, asker);
  if ('unaskable' in traffic) return traffic;
  const base = {
    id,
    arrived: 'mesh' as const,
    workload,
    source: sourceOf(source.ip ?? '', source.port ?? 0),
    connectAuthority: null,
    // What a network filter passes through, nobody decrypts.
    canInspect: http !== null,
  };
  const {connect} = asker;
  if (connect !== null) return {...base, connectAuthority: connect, destination: {ip: null, ...connect}, traffic};
  if (asker.dials !== 'name') {
    const {ip, port: dialled} = asker.destination ?? destination;
    // Without it the question would look like one of the explicit port, whose names we resolve.
    if (ip === null || dialled === null)
      return unaskable('MalformedRequest', 'Envoy did not tell the destination address that it dials.');
    const place = destinationOf(ip, typeof asker.port === 'number' ? asker.port : dialled);
    return asker.dials === 'answer'
      ? {...base, destination: place, traffic, dialsAnswer: true}
      : {...base, destination: place, traffic};
  }
  if (http !== null && http.method === 'CONNECT' && traffic.kind === 'http') return tunnel(base, http);
  if (asker.port === 'original' && destination.port === null)
    return unaskable('MalformedRequest', 'Envoy did not tell the port that the client dialled.');
  const place = named(traffic, attributes, asker.port === 'original' ? destination.port : asker.port);
  return 'unaskable' in place ? place : {...base, destination: place, traffic};
}

/** A network filter: a ClientHello's name, or nothing at all. */
function sealedTraffic({sni}: Attributes, {scheme}: Asker): Traffic {
  if (sni === null && scheme !== 'tls') return {kind: scheme === 'tcp' ? 'opaque' : 'unread'};
  return {kind: 'tls', tls: hello(sni)};
}

/** Envoy tells neither the ALPN nor whether there was an encrypted_client_hello. */
const hello = (sni: string | null): TlsHello => ({sni, alpn: [], ech: false});

/**
 * https where Envoy terminated TLS. Not by the request's own word: `:scheme` and x-forwarded-proto are the client's to write,
 * and a request in the clear must not be held for one inside TLS.
 */
function webTraffic(asked: AskedHttp, {sni}: Attributes, {scheme}: Asker): Traffic | Unaskable {
  const http = readRequest(asked);
  if ('unaskable' in http) return http;
  if (scheme === 'https' || (scheme === null && sni !== null)) return {kind: 'https', tls: hello(sni), http};
  return {kind: 'http', http};
}

function readRequest(asked: AskedHttp): HttpRequest | Unaskable {
  const {fields, host, method} = asked;
  if (fields.tooMany) return unaskable('LimitExceeded', 'The request has more header fields than are looked at.');
  if (method === '') return unaskable('MalformedRequest', 'Envoy did not tell the method.');
  const version =
    asked.protocol === 'HTTP/1.0' ? '1.0' : asked.protocol === 'HTTP/2' || asked.protocol === 'HTTP/3' ? '2' : '1.1';
  const mark = asked.path.indexOf('?');
  let hostLine: string | null = null;
  let upgrade: string[] | null = null;
  let forwardedProto: string | null = null;
  for (let i = 0; i + 1 < fields.lines.length; i += 2) {
    const name = fields.lines[i]!.toLowerCase();
    const value = fields.lines[i + 1]!;
    if (name === 'host') {
      if (hostLine !== null && hostLine !== value) return unaskable('MalformedRequest', 'The request names two hosts.');
      hostLine = value;
    } else if (name === 'upgrade') (upgrade ??= []).push(...tokens(value));
    else if (name === 'x-forwarded-proto') forwardedProto = value;
  }
  return {
    version,
    method,
    scheme: claimedScheme(asked.scheme, version, forwardedProto),
    // Envoy makes Host the :authority; where there are both all the same, both have to agree.
    authority: version === '2' || hostLine !== null ? host : null,
    host: version === '2' ? hostLine : (hostLine ?? host),
    path: mark < 0 ? asked.path : asked.path.slice(0, mark),
    query: mark < 0 ? null : asked.path.slice(mark + 1),
    upgrade: upgrade ?? NONE,
    headers: fields.lines,
    ...(fields.joined ? {linesJoined: true} : {}),
  };
}

const NONE: readonly string[] = [];

/**
 * In HTTP/1 Envoy fills `:scheme` in, from x-forwarded-proto where there is one: only a scheme that differs from it was
 * written into an absolute-form target.
 */
function claimedScheme(
  scheme: string | null,
  version: '1.0' | '1.1' | '2',
  forwardedProto: string | null,
): string | null {
  if (version === '2') return scheme;
  return scheme === forwardedProto ? null : scheme;
}

const tokens = (value: string): string[] =>
  value
    .toLowerCase()
    .split(',')
    .map((token) => token.trim())
    .filter((token) => token !== '');

/** A client's CONNECT to a proxy: an uninspected TLS connection to its authority (POLICY.md, order of decision 1). */
function tunnel(base: Omit<EgressRequest, 'destination' | 'traffic'>, http: AskedHttp): EgressRequest | Unaskable {
  const authority = parseAuthority(http.host ?? '');
  if (authority === null || authority.port === null)
    return unaskable('MalformedRequest', 'CONNECT names no host and port (RFC 9110 §9.3.6).');
  const {host, port} = authority;
  return {
    ...base,
    canInspect: false,
    connectAuthority: {host, port},
    destination: {ip: null, port, host},
    traffic: {kind: 'tls', tls: hello(null)},
  };
}

/** Envoy dials the name: what it would dial is what is asked about. `fixed`: the port, where the name's own is not dialled. */
function named(traffic: Traffic, {destination, sni}: Attributes, fixed: number | null): Destination | Unaskable {
  switch (traffic.kind) {
    case 'http':
    case 'https': {
      const text = traffic.http.authority ?? traffic.http.host;
      const authority = text === null ? null : parseAuthority(text);
      if (authority === null) return unaskable('MalformedRequest', 'The request names no host that could be dialled.');
      return {ip: null, port: fixed ?? authority.port ?? DEFAULT_PORT[traffic.kind], host: authority.host};
    }
    case 'tls': {
      const port = fixed ?? destination.port;
      if (sni === null || port === null)
        return unaskable('MalformedRequest', 'The ClientHello names no host that could be dialled.');
      return {ip: null, port, host: sni};
    }
    case 'unread':
    case 'opaque':
      return unaskable('MalformedRequest', 'This connection names nothing that could be dialled by name.');
  }
}
