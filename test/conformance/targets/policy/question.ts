/** From a step to the questions that a dataplane would put to `decide`. */
import {isIP} from 'node:net';
import type {EgressRequest, HttpRequest, Names, Traffic, Workload} from '../../../../policy/index.ts';
import {namespaceLabels} from '../../format/case.ts';
import type {Case, HostPort, RawAction, RequestAction, WorkloadSpec} from '../../format/case.ts';
import {canonical, worldName} from '../../format/places.ts';
import {bodyBytes, headerLines, hostHeader, sentPath, sentSni, urlAuthority} from '../../client/request-lines.ts';
import type {RawReading} from './raw-http.ts';

/** What a connection shows, one layer after the other, as far as it is asked for. */
export interface Question {
  readonly base: Omit<EgressRequest, 'id' | 'traffic'>;
  /** The layers in order; of the last, one entry a request. */
  readonly layers: readonly Traffic[];
  readonly requests: readonly Traffic[];
}

export function workloadValue(world: Case, spec: WorkloadSpec): Workload {
  return {
    namespace: spec.namespace,
    namespaceLabels: namespaceLabels(world, spec.namespace),
    name: spec.name,
    uid: `${spec.namespace}/${spec.name}`,
    labels: spec.labels,
    serviceAccount: spec.serviceAccount,
    node: null,
    trustsCa: spec.trustsCa,
  };
}

/** The address that a client dials for a host of the world; null: it does not resolve. */
export function dialledAddress(host: string, addresses: ReadonlyMap<string, readonly string[]>): string | null {
  return isIP(host) !== 0 ? canonical(host) : (addresses.get(worldName(host))?.[0] ?? null);
}

/** null: the client could not dial, for the name does not resolve. */
export function requestQuestion(
  world: Case,
  action: RequestAction,
  spec: WorkloadSpec,
  addresses: ReadonlyMap<string, readonly string[]>,
): Question | null {
  const explicit = action.via === 'explicit';
  const place: HostPort = action.connectTo ?? {host: action.url.host, port: action.url.port};
  const ip = explicit ? null : dialledAddress(place.host, addresses);
  if (!explicit && ip === null) return null;
  const tunnel = explicit && action.url.scheme === 'https';
  const http = httpRequest(action);
  const tls = {sni: sentSni(action), alpn: action.http === '2' ? ['h2', 'http/1.1'] : ['http/1.1'], ech: false};
  const request: Traffic = action.url.scheme === 'https' ? {kind: 'https', tls, http} : {kind: 'http', http};
  return {
    base: {
      arrived: action.via,
      workload: workloadValue(world, spec),
      source: {ip: '10.77.0.10', port: 40000},
      destination: {ip, port: place.port, host: explicit ? place.host : null},
      connectAuthority: tunnel ? {host: place.host, port: place.port} : null,
      canInspect: true,
    },
    // An absolute-form request is read before anything is asked; everything else begins unread.
    layers: [
      ...(explicit && !tunnel ? [] : [{kind: 'unread'} as const]),
      ...(action.url.scheme === 'https' ? [{kind: 'tls', tls} as const] : []),
    ],
    requests: [request],
  };
}

function httpRequest(action: RequestAction): HttpRequest {
  const lines = headerLines(action);
  const body = bodyBytes(action);
  if (body !== null && !lines.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'content-length')) {
    lines.push(action.http === '2' ? 'content-length' : 'Content-Length', String(body.length));
  }
  const token = (name: string): string[] =>
    lines
      .flatMap((line, i) => (i % 2 === 0 && line.toLowerCase() === name ? lines[i + 1]!.toLowerCase().split(',') : []))
      .map((one) => one.trim())
      .filter(Boolean);
  const common = {method: action.method, path: sentPath(action), query: action.url.query};
  const host = hostHeader(action);
  if (action.http === '2') {
    return {
      ...common,
      version: '2',
      scheme: action.url.scheme,
      authority: host,
      host: null,
      upgrade: [],
      headers: lines,
    };
  }
  const absolute = action.via === 'explicit' && action.url.scheme === 'http';
  return {
    ...common,
    version: '1.1',
    scheme: absolute ? 'http' : null,
    authority: absolute ? urlAuthority(action) : null,
    host,
    upgrade: token('connection').includes('upgrade') ? token('upgrade') : [],
    headers: ['Host', host, ...lines],
  };
}

export function rawQuestion(
  world: Case,
  action: RawAction,
  reading: RawReading,
  spec: WorkloadSpec,
  addresses: ReadonlyMap<string, readonly string[]>,
): Question | null {
  const ip = dialledAddress(action.to.host, addresses);
  if (ip === null) return null;
  const {tls} = action;
  const hello =
    tls === null
      ? null
      : {sni: (tls.sni ?? (isIP(action.to.host) === 0 ? action.to.host : '')) || null, alpn: tls.alpn, ech: false};
  const requests: Traffic[] =
    reading.kind === 'http'
      ? reading.requests.map((http) => (hello === null ? {kind: 'http', http} : {kind: 'https', tls: hello, http}))
      : reading.kind === 'opaque' && hello === null
        ? [{kind: 'opaque'}]
        : [];
  return {
    base: {
      arrived: 'captured',
      workload: workloadValue(world, spec),
      source: {ip: '10.77.0.10', port: 40000},
      destination: {ip, port: action.to.port, host: null},
      connectAuthority: null,
      canInspect: true,
    },
    layers: [{kind: 'unread'}, ...(hello === null ? [] : [{kind: 'tls', tls: hello} as const])],
    requests,
  };
}

/** What lookups find: the world's names; 'failed' for every other. */
export function lookUp(of: readonly string[], addresses: ReadonlyMap<string, readonly string[]>): Names {
  return new Map(of.map((name) => [name, addresses.get(worldName(name))?.map(canonical) ?? ('failed' as const)]));
}
