/** From the flags of `sallyport explain` to the question that the dataplane would put. */
import {
  canonicalAddress,
  decide,
  isDecision,
  parseAuthority,
  parseCidr,
  type Address,
  type EgressRequest,
  type HttpRequest,
  type Installation,
  type PolicySet,
  type Traffic,
  type Workload,
} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import {readWorkloads} from '../sources/workload-table.ts';

/** The flags as parseArgs gives them; checked to be of these types. */
export interface Flags {
  readonly [name: string]: unknown;
  readonly policy?: string[];
  readonly workload?: string;
  readonly workloads?: string;
  readonly labels?: string;
  readonly namespace?: string;
  readonly 'namespace-labels'?: string;
  readonly 'service-account'?: string;
  readonly 'cluster-domain'?: string;
  readonly header?: string[];
  readonly host?: string;
  readonly sni?: string;
  readonly via?: string;
  readonly address?: string[];
  readonly method?: string;
  readonly log?: string;
  readonly output?: string;
  readonly help?: boolean;
}

const usage = (message: string, fix: string): SallyportError => new SallyportError('Usage', message, fix);

/** TEST-NET-3 (RFC 5737): public by class, and nobody's. */
const ASSUMED_ADDRESS = '203.0.113.10';
/** Rounds of needs and answers; chains are a few long. */
const MAX_ROUNDS = 32;

export interface Question {
  readonly request: EgressRequest;
  /** What the URL's name resolves to. */
  readonly addresses: readonly Address[];
  /** No --address was given for a name. */
  readonly assumed: boolean;
}

export function readInstallation(flags: Flags): Installation {
  const action = flags['default-action'] ?? 'Deny';
  if (action !== 'Deny' && action !== 'Allow')
    throw usage(`--default-action is ${JSON.stringify(action)}`, 'Write Deny or Allow.');
  const cidrs = (name: string): string[] => {
    const texts = (flags[name] as string[] | undefined) ?? [];
    const bad = texts.find((text) => parseCidr(text) === null);
    if (bad !== undefined) throw usage(`--${name} ${JSON.stringify(bad)} is no range`, 'Write 10.0.0.0/8 or fd00::/8.');
    return texts;
  };
  const domain = (text: string): string => text.toLowerCase().replace(/^\.|\.$/g, '');
  return {
    defaultAction: action,
    clusterDomain: domain(flags['cluster-domain'] ?? 'cluster.local'),
    serviceCidrs: cidrs('service-cidr'),
    podCidrs: cidrs('pod-cidr'),
    nodeCidrs: cidrs('node-cidr'),
    nat64Prefixes: cidrs('nat64-prefix'),
    searchDomains: ((flags['search'] as string[] | undefined) ?? []).map(domain),
    ownPorts: [],
  };
}

export function readQuestion(text: string, flags: Flags): Question {
  const url = readUrl(text);
  const via = flags.via ?? 'captured';
  if (via !== 'captured' && via !== 'explicit') throw usage(`--via ${via}`, 'Write captured or explicit.');
  const literal = url.literal;
  const given = (flags.address ?? []).map((one) => {
    const ip = canonicalAddress(one);
    if (ip === null) throw usage(`--address ${JSON.stringify(one)} is no IP address`, 'Write 10.0.0.7 or fd00::7.');
    return ip;
  });
  const addresses = given.length > 0 ? given : literal !== null ? [literal] : [ASSUMED_ADDRESS];
  const explicit = via === 'explicit';
  const tunnel = explicit && url.scheme !== 'http';
  return {
    request: {
      id: 'explain',
      arrived: via,
      workload: readWorkload(flags),
      source: {ip: '127.0.0.1', port: 1},
      destination: {
        ip: explicit ? null : (literal ?? addresses[0]!),
        port: url.port,
        host: explicit ? url.host : null,
      },
      connectAuthority: tunnel ? {host: url.host, port: url.port} : null,
      canInspect: true,
      traffic: trafficOf(url, flags, explicit),
    },
    addresses,
    assumed: given.length === 0 && literal === null,
  };
}

interface Target {
  readonly scheme: 'https' | 'http' | 'tls' | 'tcp';
  readonly host: string;
  readonly literal: Address | null;
  readonly port: number;
  /** host[:port] as written. */
  readonly authority: string;
  readonly path: string;
  readonly query: string | null;
}

/** The URL taken apart as written: no WHATWG normalization, since the escapes and dots of a path are what may matter. */
function readUrl(text: string): Target {
  const match = /^(https?|tls|tcp):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?/i.exec(text);
  if (match === null)
    throw usage(`${JSON.stringify(text)} is no URL of https, http, tls or tcp`, 'Write https://HOST/PATH.');
  const scheme = match[1]!.toLowerCase() as Target['scheme'];
  const authority = parseAuthority(match[2]!);
  if (authority === null)
    throw usage(
      `${JSON.stringify(match[2])} is no host`,
      'Write a name in ASCII (punycode) or an address, without user.',
    );
  const port = authority.port ?? (scheme === 'http' ? 80 : scheme === 'tcp' ? null : 443);
  if (port === null) throw usage('tcp has no default port', 'Write tcp://HOST:PORT.');
  return {
    scheme,
    host: authority.host,
    literal: authority.literal,
    port,
    authority: match[2]!,
    path: match[3] === '' ? '/' : match[3]!,
    query: match[4] ?? null,
  };
}

function trafficOf(url: Target, flags: Flags, explicit: boolean): Traffic {
  const sni = flags.sni ?? (url.literal === null ? url.host : '');
  const tls = {sni: sni === '' ? null : sni, alpn: [], ech: false};
  if (url.scheme === 'tcp') return {kind: 'opaque'};
  if (url.scheme === 'tls') return {kind: 'tls', tls};
  const host = flags.host ?? url.authority;
  const headers = ['Host', host];
  for (const line of flags.header ?? []) {
    const colon = line.indexOf(':');
    if (colon < 1) throw usage(`--header ${JSON.stringify(line)} is no header`, "Write --header 'name: value'.");
    headers.push(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  const absolute = explicit && url.scheme === 'http';
  const http: HttpRequest = {
    version: '1.1',
    method: flags.method ?? 'GET',
    scheme: absolute ? 'http' : null,
    authority: absolute ? url.authority : null,
    host,
    path: url.path,
    query: url.query,
    upgrade: upgradeOf(headers),
    headers,
  };
  return url.scheme === 'https' ? {kind: 'https', tls, http} : {kind: 'http', http};
}

function upgradeOf(headers: readonly string[]): string[] {
  const out: string[] = [];
  for (let i = 0; i < headers.length; i += 2)
    if (headers[i]!.toLowerCase() === 'upgrade') out.push(...headers[i + 1]!.toLowerCase().split(','));
  return out.map((one) => one.trim()).filter((one) => one !== '');
}

function readWorkload(flags: Flags): Workload {
  if (flags.workload !== undefined) {
    if (flags.workloads === undefined) throw usage('--workload needs the table', 'Add --workloads FILE.');
    const entry = readWorkloads(flags.workloads).find(
      ({workload}) => `${workload.namespace}/${workload.name}` === flags.workload,
    );
    if (entry === undefined)
      throw usage(
        `${flags.workload} is not in ${flags.workloads}`,
        'Write --workload NAMESPACE/NAME as the table has it.',
      );
    return entry.workload;
  }
  if (flags.labels === undefined)
    throw usage('nobody asks', 'Write --workload NS/NAME with --workloads FILE, or --labels k=v,... ("" for none).');
  return {
    namespace: flags.namespace ?? 'default',
    namespaceLabels: readLabels(flags['namespace-labels'] ?? '', 'namespace-labels'),
    name: 'explained',
    uid: 'explained',
    labels: readLabels(flags.labels, 'labels'),
    serviceAccount: flags['service-account'] ?? 'default',
    node: null,
    trustsCa: flags['distrusts-ca'] !== true,
  };
}

function readLabels(text: string, flag: string): Record<string, string> {
  const out: Record<string, string> = {};
  for (const part of text.split(',')) {
    if (part.trim() === '') continue;
    const equals = part.indexOf('=');
    if (equals < 1) throw usage(`--${flag} ${JSON.stringify(part)} is no label`, 'Write key=value,key=value.');
    out[part.slice(0, equals).trim()] = part.slice(equals + 1).trim();
  }
  return out;
}

/** Asks as the dataplane does: the ClientHello first, then the request, with what was looked up. */
export function decideLikeTheProxy(
  policies: PolicySet,
  request: EgressRequest,
  addresses: readonly Address[],
): {readonly question: EgressRequest; readonly names: ReadonlyMap<string, readonly Address[] | 'failed'>} {
  const names = new Map<string, readonly Address[] | 'failed'>();
  const own = request.traffic.kind === 'tls' || request.traffic.kind === 'https' ? request.traffic.tls.sni : null;
  const name =
    request.traffic.kind === 'http' || request.traffic.kind === 'https'
      ? (parseAuthority(request.traffic.http.host ?? '')?.host ?? null)
      : null;
  const known = new Set([own?.toLowerCase(), name, request.destination.host]);
  const layers: Traffic[] =
    request.traffic.kind === 'https' ? [{kind: 'tls', tls: request.traffic.tls}, request.traffic] : [request.traffic];
  let question = request;
  for (const traffic of layers) {
    question = {...request, traffic};
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const answer = decide(policies, question, names);
      if (isDecision(answer)) return {question, names};
      if (answer.needs !== 'addresses') break;
      // A tcp rule's name is assumed to be the one that was asked for, if it has no other.
      for (const one of answer.of)
        names.set(one, known.has(one) || (answer.recent && request.traffic.kind === 'opaque') ? addresses : 'failed');
    }
  }
  return {question, names};
}
