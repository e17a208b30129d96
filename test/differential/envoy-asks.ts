/** How Envoy asks about an exchange: which filter chain it takes, and the CheckRequest that its filter sends. */
import {create, toBinary} from '@bufbuild/protobuf';
import {decide, isDecision, type Address, type HttpRequest, type Names, type PolicySet} from '../../policy/index.ts';
import {CheckRequestSchema} from '../../extauthz/gen/envoy/service/auth/v3/external_auth_pb.js';
import type {Exchange} from '../reference/arbitraries.ts';

export interface Asked {
  readonly message: Uint8Array;
  /** What the filter's configuration adds (initial_metadata). */
  readonly told: Readonly<Record<string, string>>;
  /** null: a network filter asks. */
  readonly http: HttpRequest | null;
}

/** The chain is chosen by what the policy passes unseen, else by the first bytes (test/conformance/targets/envoy/unseen.ts). */
export function asEnvoyAsks(policies: PolicySet, exchange: Exchange, zone: Names): Asked {
  const {base, layers} = exchange;
  const last = layers.at(-1)!;
  const seen = layers.findIndex((traffic) => passesUnseen(policies, {base, layers: [traffic]}, zone));
  const traffic = seen === -1 ? last : layers[seen]!;
  switch (traffic.kind) {
    case 'unread':
      return network(exchange, last.kind === 'https' ? last.tls.sni : null, {});
    case 'opaque':
      return network(exchange, null, {'sallyport-scheme': 'tcp'});
    case 'tls':
      return network(exchange, traffic.tls.sni, {'sallyport-scheme': 'tls'});
    case 'http':
      return web(exchange, traffic.http, null, 'http');
    case 'https':
      return web(exchange, traffic.http, traffic.tls.sni, 'https');
  }
}

function passesUnseen(policies: PolicySet, {base, layers}: Exchange, zone: Names): boolean {
  const [traffic] = layers;
  if (traffic!.kind !== 'unread' && traffic!.kind !== 'tls') return false;
  const names = new Map<string, readonly Address[] | 'failed'>();
  for (;;) {
    const answer = decide(policies, {...base, arrived: 'mesh', canInspect: true, traffic: traffic!}, names);
    if (isDecision(answer))
      return answer.verdict === 'allow' || (traffic!.kind === 'tls' && answer.reason === 'Uninspectable');
    if (answer.needs !== 'addresses') return false;
    for (const name of answer.of) names.set(name, zone.get(name) ?? 'failed');
  }
}

interface AskedRequest {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly scheme: string;
  readonly protocol: string;
  readonly headerMap?: {readonly headers: {key: string; rawValue: Uint8Array<ArrayBuffer>}[]};
  readonly headers?: Record<string, string>;
}

const address = (ip: string, port: number) => ({
  address: {
    case: 'socketAddress' as const,
    value: {address: ip, portSpecifier: {case: 'portValue' as const, value: port}},
  },
});

function message({base}: Exchange, sni: string | null, http: AskedRequest | null): Uint8Array {
  return toBinary(
    CheckRequestSchema,
    create(CheckRequestSchema, {
      attributes: {
        source: {address: address(base.source.ip, base.source.port)},
        destination: {address: address(base.destination.ip!, base.destination.port)},
        metadataContext: {},
        tlsSession: sni === null ? {} : {sni},
        ...(http === null ? {} : {request: {http}}),
      },
    }),
  );
}

const dials = ({base}: Exchange): Asked['told'] => (base.dialsAnswer === true ? {'sallyport-dials': 'answer'} : {});

const network = (exchange: Exchange, sni: string | null, told: Asked['told']): Asked => ({
  message: message(exchange, sni, null),
  told: {...told, 'sallyport-via': '*', ...dials(exchange)},
  http: null,
});

/** Without encode_raw_headers: one value a name. */
function joinedByName(lines: readonly string[]): Record<string, string> {
  const map: Record<string, string> = {};
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = lines[i]!.toLowerCase();
    map[name] = Object.hasOwn(map, name) ? `${map[name]},${lines[i + 1]}` : lines[i + 1]!;
  }
  return map;
}

/** With encode_raw_headers, unless lines are joined. In HTTP/1 Host becomes :authority, and :scheme is what Envoy makes of the connection. */
function web(exchange: Exchange, http: HttpRequest, sni: string | null, scheme: 'http' | 'https'): Asked {
  const path = http.query === null ? http.path : `${http.path}?${http.query}`;
  const host = http.authority ?? http.host ?? '';
  const lines = [
    ...[':authority', host, ':path', path, ':method', http.method, ':scheme', http.scheme ?? scheme],
    ...http.headers,
    ...(http.upgrade.length === 0 ? [] : ['connection', 'upgrade', 'upgrade', http.upgrade.join(', ')]),
    ...['x-forwarded-proto', scheme],
  ];
  const headers = [];
  for (let i = 0; i + 1 < lines.length; i += 2)
    headers.push({key: lines[i]!.toLowerCase(), rawValue: Buffer.from(lines[i + 1]!, 'latin1')});
  return {
    message: message(exchange, sni, {
      method: http.method,
      path,
      host,
      scheme: http.scheme ?? scheme,
      protocol: http.version === '2' ? 'HTTP/2' : `HTTP/${http.version}`,
      ...(http.linesJoined === true ? {headers: joinedByName(lines)} : {headerMap: {headers}}),
    }),
    told: {'sallyport-scheme': scheme, 'sallyport-via': '*', ...dials(exchange)},
    http,
  };
}
