/** Step 1, from POLICY.md: what is refused whatever the rules, and the one name that everything else is about. */
import type {EgressRequest, HttpRequest, Reason} from '../../policy/index.ts';
import {authority, canonical, host, readings, type Place} from './texts.ts';

export interface Form {
  readonly name: string | null;
  readonly literal: string | null;
  readonly original: string | null;
  readonly port: number;
  readonly methods: readonly string[];
  readonly paths: readonly string[];
  readonly queries: readonly (string | null)[];
}

export const httpOf = ({traffic}: EgressRequest): HttpRequest | null =>
  traffic.kind === 'http' || traffic.kind === 'https' ? traffic.http : null;

export function linesOf(http: HttpRequest, name: string): string[] {
  return http.headers.flatMap((line, i) => (i % 2 === 0 && line.toLowerCase() === name ? [http.headers[i + 1]!] : []));
}

export function form(request: EgressRequest): Form | Reason {
  const {traffic, destination, connectAuthority} = request;
  const http = httpOf(request);
  if (http !== null) {
    const websocket = http.upgrade.join() === 'websocket';
    if (http.upgrade.length > 0 && !websocket) return 'UnsupportedProtocol';
    if (http.method === 'CONNECT' && !(http.version === '2' && websocket)) return 'UnsupportedProtocol';
  }
  const claims: (Place | null)[] = [];
  const claim = (text: string): void =>
    void claims.push(authority(text.includes(':') && !/^\[|:\d*$|[^0-9a-f:.]/i.test(text) ? `[${text}]` : text));
  const bracket = (text: string): string => (text.includes(':') ? `[${text}]` : text);
  if (connectAuthority !== null) {
    claims.push(authority(bracket(connectAuthority.host)));
    if (claims[0] !== null && connectAuthority.port !== destination.port) return 'HostMismatch';
  }
  if (destination.host !== null) claims.push(authority(bracket(destination.host)));
  if (claims.includes(null)) return 'MalformedRequest';
  if ((traffic.kind === 'tls' || traffic.kind === 'https') && traffic.tls.sni !== null && traffic.tls.sni !== '') {
    if (/[:[]/.test(traffic.tls.sni)) return 'MalformedRequest';
    claim(traffic.tls.sni);
  }
  if (claims.includes(null)) return 'MalformedRequest';
  if (traffic.kind === 'https' && claims.length === 0 && destination.ip !== null)
    claims.push(authority(bracket(destination.ip)));
  if (http !== null) {
    if (http.scheme !== null && http.scheme !== traffic.kind) return 'HostMismatch';
    if (http.authority !== null) claims.push(authority(http.authority));
    if (http.host !== null) claims.push(authority(http.host));
    else if (http.version === '1.1' || (http.version === '2' && http.authority === null)) {
      return 'MalformedRequest';
    }
  }
  if (claims.includes(null)) return 'MalformedRequest';
  const all = claims as Place[];
  if (all.length === 0 && destination.ip === null) return 'MalformedRequest';
  const [first] = all;
  for (const one of all) {
    if (one.host !== first!.host) return 'HostMismatch';
    if (one.port !== null && one.port !== destination.port) return 'HostMismatch';
  }
  let methods: string[] = [];
  let paths: string[] = [];
  let queries: (string | null)[] = [];
  if (http !== null) {
    if (http.query !== null && [...http.query].some((one) => one <= ' ' || one === '\x7f')) return 'MalformedRequest';
    methods = [http.method === 'CONNECT' ? 'GET' : http.method];
    queries = [http.query];
    if (http.path === '*') {
      if (http.method !== 'OPTIONS') return 'MalformedRequest';
      paths = ['*'];
    } else {
      if (http.path !== '' && !http.path.startsWith('/')) return 'MalformedRequest';
      const read = readings(http.path === '' ? '/' : http.path);
      if (typeof read === 'string') return read;
      paths = read;
    }
    for (const name of ['x-http-method-override', 'x-http-method', 'x-method-override'])
      methods.push(...linesOf(http, name).map((value) => value.trim().toUpperCase()));
    for (const name of ['x-original-url', 'x-rewrite-url'])
      for (const value of linesOf(http, name)) {
        const [, path = '', query] = /^(?:[^/]*:\/\/[^/]*)?([^?#]*)(?:\?([^#]*))?/.exec(value.trim())!;
        if (query !== undefined) queries.push(query);
        const read = readings(path.startsWith('/') ? path : `/${path}`);
        if (typeof read === 'string') return 'AmbiguousPath';
        paths.push(...read);
      }
    if (new Set(methods).size * new Set(paths).size > 64) return 'AmbiguousPath';
  }
  const literal = first === undefined ? destination.ip : first.literal ? first.host : null;
  return {
    name: first === undefined || first.literal ? null : host(first.host),
    literal: literal === null ? null : canonical(literal),
    original: destination.ip,
    port: destination.port,
    methods: [...new Set(methods)],
    paths: [...new Set(paths)],
    queries: [...new Set(queries)],
  };
}
