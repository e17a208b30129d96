/** For tests: policies as YAML, requests as URLs, and the questions put as a dataplane puts them. */
import {loadDocuments} from '../load/load.ts';
import {compilePolicies, type PolicySet} from '../compile.ts';
import {decide} from '../decide.ts';
import {isDecision, type Decision, type Needs} from '../decision.ts';
import type {Installation} from '../documents.ts';
import type {Address, EgressRequest, HttpRequest, Traffic, Workload} from '../request.ts';

export const INSTALLATION: Installation = {
  defaultAction: 'Deny',
  clusterDomain: 'cluster.local',
  serviceCidrs: ['10.96.0.0/12'],
  podCidrs: ['10.244.0.0/16'],
  nodeCidrs: ['192.168.5.0/24'],
  nat64Prefixes: [],
  searchDomains: [],
  ownPorts: [15080, 15081],
};

export const APP: Workload = {
  namespace: 'default',
  namespaceLabels: {},
  name: 'app-1',
  uid: 'uid-1',
  labels: {app: 'web'},
  serviceAccount: 'default',
  node: null,
  trustsCa: true,
};

/** Policies from YAML (rules of one policy `p` alone where the text begins with a dash). Throws what loading refuses. */
export function policies(text: string, facts: Partial<Installation> = {}): PolicySet {
  const whole = text.trimStart().startsWith('- ')
    ? `apiVersion: sallyport.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: p, namespace: default}\nspec:\n  podSelector: {}\n  rules:\n${text.replace(/^\n/, '')}`
    : text;
  const {documents, findings} = loadDocuments([{file: 'test.yaml', text: whole}]);
  const errors = findings.filter(({severity}) => severity === 'error');
  if (errors.length > 0) throw new Error(errors.map(({message, at}) => `${at.line}: ${message}`).join('\n'));
  return compilePolicies(documents, {...INSTALLATION, ...facts});
}

export interface Asking {
  /** https://, http://, tls://, tcp://. */
  readonly url: string;
  readonly method?: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly host?: string | null;
  readonly authority?: string;
  readonly target?: string;
  readonly sni?: string | null;
  readonly ech?: boolean;
  readonly version?: HttpRequest['version'];
  readonly upgrade?: readonly string[];
  readonly linesJoined?: true;
  readonly via?: 'captured' | 'explicit' | 'mesh';
  readonly canInspect?: boolean;
  /** The original destination of captured traffic. */
  readonly ip?: Address;
  readonly workload?: Workload | 'unknown';
  /** What names resolve to; others fail. */
  readonly zone?: Readonly<Record<string, readonly Address[]>>;
}

export interface Asked {
  readonly answer: Decision | Needs;
  /** What the decision was made on. */
  readonly on: Traffic['kind'];
  /** Names that had to be looked up, in order. */
  readonly looked: readonly string[];
}

/** Any public address. */
export const PUBLIC = '203.0.113.9';

function requestOf(asking: Asking): {base: Omit<EgressRequest, 'traffic'>; layers: Traffic[]} {
  const match = /^(https?|tls|tcp):\/\/(\[[^\]]*\]|[^/:?]*)(?::(\d+))?([^?]*)(?:\?(.*))?$/.exec(asking.url)!;
  const [, scheme, hostText, portText, path, query] = match;
  const host = hostText!.replace(/^\[|\]$/g, '');
  const port = portText === undefined ? (scheme === 'http' ? 80 : 443) : Number(portText);
  const via = asking.via ?? 'captured';
  const explicit = via === 'explicit';
  const tunnel = explicit && scheme !== 'http';
  const literal = /^[\d.]+$|:/.test(host);
  const tls = {
    sni: asking.sni === undefined ? (literal ? null : host) : asking.sni,
    alpn: [],
    ech: asking.ech ?? false,
  };
  const authority = portText === undefined ? hostText! : `${hostText}:${portText}`;
  const version = asking.version ?? '1.1';
  const absolute = explicit && !tunnel;
  const http: HttpRequest = {
    version,
    method: asking.method ?? 'GET',
    scheme: asking.target ?? (version === '2' ? scheme! : absolute ? 'http' : null),
    authority: asking.authority ?? (version === '2' || absolute ? authority : null),
    host: asking.host === undefined ? (version === '2' ? null : authority) : asking.host,
    path: path === '' ? '/' : path!,
    query: query ?? null,
    upgrade: asking.upgrade ?? [],
    headers: (asking.headers ?? []).flat(),
    ...(asking.linesJoined === true ? {linesJoined: true} : {}),
  };
  const start: Traffic[] = absolute ? [] : [{kind: 'unread'}];
  const layers: Record<string, Traffic[]> = {
    https: [...start, {kind: 'tls', tls}, {kind: 'https', tls, http}],
    http: [...start, {kind: 'http', http}],
    tls: [...start, {kind: 'tls', tls}],
    tcp: [...start, {kind: 'opaque'}],
  };
  return {
    base: {
      id: '0123456789abcdef',
      arrived: via,
      workload: asking.workload ?? APP,
      source: {ip: '10.244.1.5', port: 40000},
      destination: {ip: explicit ? null : (asking.ip ?? (literal ? host : PUBLIC)), port, host: explicit ? host : null},
      connectAuthority: tunnel ? {host, port} : null,
      canInspect: asking.canInspect ?? true,
    },
    layers: layers[scheme!]!,
  };
}

export function ask(set: PolicySet | 'not-loaded', asking: Asking): Asked {
  const {base, layers} = requestOf(asking);
  const names = new Map<string, readonly Address[] | 'failed'>();
  const looked: string[] = [];
  let layer = 0;
  for (let round = 0; round < 50; round++) {
    const traffic = layers[layer]!;
    const answer = decide(set, {...base, traffic}, names);
    if (isDecision(answer)) return {answer, on: traffic.kind, looked};
    if (answer.needs === 'addresses') {
      for (const name of answer.of) {
        looked.push(name);
        names.set(name, asking.zone?.[name] ?? 'failed');
      }
    } else if (layer + 1 < layers.length) layer++;
    else return {answer, on: traffic.kind, looked};
  }
  throw new Error('the questions do not end');
}

/** The same, where a decision is what comes out. */
export function decided(set: PolicySet | 'not-loaded', asking: Asking): Decision {
  const {answer} = ask(set, asking);
  if (!isDecision(answer)) throw new Error(`undecided: ${JSON.stringify(answer)}`);
  return answer;
}

/** `allow RuleAllowed p/rule` or `deny NoRuleMatched -`: verdict, reason and rule in one line. */
export function line(decision: Decision): string {
  const {verdict, reason, policy, rule} = decision;
  return `${verdict} ${reason} ${policy === null || rule === null ? '-' : `${policy.name}/${rule}`}`;
}
