/** Why a decision came out as it did: the deciding rule with its defaults written out, and why nearer candidates did not match. */
import {coversPort, holdsName, HTTP, HTTPS, SCHEME_BITS, TCP, TLS, type CompiledRule} from './compile-rule.ts';
import type {PolicySet} from './compile.ts';
import {couldHold, matchesHttp, matchesWhen, View} from './decide/conditions.ts';
import {readSubject, type Subject} from './decide/subject.ts';
import {decide} from './decide.ts';
import {isDecision, type Decision, type Names, type Needs} from './decision.ts';
import type {PortRange, RuleDocument, Scheme} from './documents.ts';
import {denyHolds} from './match/classes.ts';
import {embeddedIpv4, formatAddress, type Ip} from './match/addresses.ts';
import {policySelects} from './select.ts';
import type {EgressRequest, Workload} from './request.ts';

/** A rule as it is applied: nothing left to be known by heart. */
export interface WrittenRule {
  readonly policy: string;
  readonly name: string;
  readonly action: 'Allow' | 'Deny';
  readonly mode: 'Enforce' | 'Audit';
  readonly to: {
    readonly hosts: readonly string[];
    readonly cidrs: readonly string[];
    readonly schemes: readonly Scheme[];
    /** By scheme, since their defaults differ. */
    readonly ports: Readonly<Partial<Record<Scheme, readonly string[]>>>;
  };
  readonly http: RuleDocument['http'];
  readonly when: string | null;
  readonly request: RuleDocument['request'];
  readonly response: RuleDocument['response'];
  readonly via: string;
  readonly at: string;
}

/** A rule that came close. */
export interface NearRule {
  readonly policy: string;
  readonly rule: string;
  readonly action: 'Allow' | 'Deny';
  readonly at: string;
  /** What of it did not match; or what it is waiting for. */
  readonly why: string;
}

export interface Explanation {
  /** The decision, or what would have to be known for one. */
  readonly answer: Decision | Needs;
  /** `namespace/name` or a cluster policy's name, with its mode; those that may select (labels unknown) say so. */
  readonly selecting: readonly {readonly policy: string; readonly mode: string; readonly certain: boolean}[];
  readonly rule: WrittenRule | null;
  /** Nearest first. */
  readonly near: readonly NearRule[];
  /** How many more rules of the selecting policies were further away. */
  readonly further: number;
  /** The readings of the path, where there is more than one. */
  readonly readings: readonly string[];
}

/** More of them help nobody. */
const MAX_NEAR = 10;

export function explain(policies: PolicySet, request: EgressRequest, names: Names): Explanation {
  const answer = decide(policies, request, names);
  const {workload} = request;
  const subject = readSubject(request);
  if (workload === 'unknown' || 'refused' in subject)
    return {answer, selecting: [], rule: null, near: [], further: 0, readings: []};
  const selecting = policies.selector.policies.flatMap((policy) => {
    const selects = policySelects(policy.document, workload);
    return selects === false ? [] : [{policy, certain: selects === true}];
  });
  const deciding = isDecision(answer) ? answer : null;
  const rules = selecting.flatMap(({policy}) => policy.rules);
  const rule = deciding?.rule == null ? null : (rules.find((one) => isDecidingRule(one, deciding)) ?? null);
  const view = new View(request, workload, subject, false);
  const near = rules
    .filter((one) => one !== rule)
    .map((one) => ({one, ...nearness(policies, one, view, request, names)}))
    .sort((a, b) => b.steps - a.steps || a.one.order - b.one.order);
  // Rules for other destinations are of interest only where none for this one exists.
  const close = near.filter(({steps}) => steps > 0);
  const shown = (close.length > 0 ? close : near.slice(0, 3)).slice(0, MAX_NEAR);
  return {
    answer,
    selecting: selecting.map(({policy, certain}) => ({
      policy: policyName(policy.document),
      mode: policy.document.mode,
      certain,
    })),
    rule: rule === null ? null : writeOut(rule),
    near: shown.map(({one, why}) => ({
      policy: policyName(one.policy),
      rule: one.document.name,
      action: one.action,
      at: place(one),
      why,
    })),
    further: near.length - shown.length,
    readings: subject.readings !== null && subject.readings.paths.length > 1 ? subject.readings.paths : [],
  };
}

const policyName = ({namespace, name}: {readonly namespace: string | null; readonly name: string}): string =>
  namespace === null ? name : `${namespace}/${name}`;

const place = ({document: {at}}: CompiledRule): string => `${at.file}:${at.line}`;

function isDecidingRule(rule: CompiledRule, {policy, rule: name}: Decision): boolean {
  return (
    policy !== null &&
    rule.document.name === name &&
    rule.policy.name === policy.name &&
    rule.policy.namespace === policy.namespace
  );
}

const SCHEMES: readonly Scheme[] = ['https', 'http', 'tls', 'tcp'];

const portText = ({from, to}: PortRange): string => (from === to ? String(from) : `${from}-${to}`);

function portsOf(rule: CompiledRule, scheme: Scheme): readonly string[] {
  if (rule.ports !== null) return rule.ports.map(portText);
  return rule.action === 'Deny' ? ['1-65535'] : [scheme === 'http' ? '80' : '443'];
}

/** The rule with its defaults written out. */
export function writeOut(rule: CompiledRule): WrittenRule {
  const {document, policy} = rule;
  const schemes = SCHEMES.filter((scheme) => (rule.schemes & SCHEME_BITS[scheme]) !== 0);
  return {
    policy: policyName(policy),
    name: document.name,
    action: document.action,
    mode: policy.mode,
    to: {
      hosts: document.to.hosts,
      cidrs: document.to.cidrs,
      schemes,
      ports: Object.fromEntries(schemes.map((scheme) => [scheme, portsOf(rule, scheme)])),
    },
    http: document.http,
    when: document.when,
    request: document.request,
    response: document.response,
    via: document.via ?? 'by the hosts of the UpstreamProxies',
    at: place(rule),
  };
}

function askedSchemes(request: EgressRequest): number {
  switch (request.traffic.kind) {
    case 'https':
      return HTTPS;
    case 'http':
      return HTTP;
    case 'tls':
      return HTTPS | TLS;
    case 'unread':
    case 'opaque':
      return TCP;
  }
}

/** How far a rule got, and what stopped it. Step 0: the destination is another. */
function nearness(
  policies: PolicySet,
  rule: CompiledRule,
  view: View,
  request: EgressRequest,
  names: Names,
): {readonly steps: number; readonly why: string} {
  const {subject} = view;
  const {name, port} = subject;
  if (rule.hasHosts) {
    if (request.traffic.kind !== 'opaque' && request.traffic.kind !== 'unread' && name === null)
      return {steps: 0, why: 'hosts match names only, and this names an address'};
    if (name !== null && !holdsName(rule, name, policies.ranges.clusterDomain))
      return {steps: 0, why: `hosts (${rule.document.to.hosts.join(', ')}) do not hold ${name}`};
  } else {
    const outside = outsideCidrs(policies, rule, subject, names);
    if (outside !== null) return {steps: 0, why: outside};
  }
  const schemes = askedSchemes(request);
  if ((rule.schemes & schemes) === 0)
    return {
      steps: 1,
      why: `schemes are ${writeOut(rule).to.schemes.join(', ')}, this is ${request.traffic.kind === 'opaque' ? 'tcp' : request.traffic.kind}`,
    };
  const covered = SCHEMES.filter(
    (scheme) => (schemes & SCHEME_BITS[scheme]) !== 0 && coversPort(rule, SCHEME_BITS[scheme], port),
  );
  if (covered.length === 0) {
    const scheme = SCHEMES.find((one) => (rule.schemes & schemes & SCHEME_BITS[one]) !== 0)!;
    return {steps: 2, why: `ports are ${portsOf(rule, scheme).join(', ')}, this is ${port}`};
  }
  if (view.http !== null) {
    const http = httpMismatch(rule, view);
    if (http !== null) return {steps: 3, why: http};
  } else if (rule.needsRequest) return {steps: 3, why: 'it needs to see the request'};
  if (rule.when !== null && !rule.usesDestinationIp) {
    const holds = rule.needsRequest && view.http === null ? couldHold(rule, view, null) : matchesWhen(rule, view, null);
    if (!holds) return {steps: 4, why: `when is not true: ${rule.when.source}`};
  }
  if (rule.action === 'Deny') return {steps: 5, why: 'it holds for none of the addresses that are dialled'};
  return {steps: 5, why: 'it matches, but a rule before it decided, or it opens none of the addresses'};
}

function outsideCidrs(policies: PolicySet, rule: CompiledRule, subject: Subject, names: Names): string | null {
  const {original, literal, name} = subject;
  const asked: Ip | null = original ?? literal;
  const text = rule.document.to.cidrs.join(', ');
  if (asked === null)
    return name !== null && names.has(name) ? null : `cidrs (${text}) wait for the addresses of ${name}`;
  const holds = denyHolds(rule.cidrs, asked, rule.action === 'Deny' ? embeddedIpv4(asked, policies.ranges.nat64) : []);
  return holds ? null : `cidrs (${text}) do not hold ${formatAddress(asked)}`;
}

/** The first http field that does not hold; null: all do. */
function httpMismatch(rule: CompiledRule, view: View): string | null {
  if (matchesHttp(rule, view)) return null;
  const {http} = rule.document;
  const alone = (
    part: Partial<Pick<CompiledRule, 'methods' | 'paths' | 'foldedPaths' | 'headers' | 'query'>>,
  ): boolean =>
    matchesHttp({...rule, methods: null, paths: null, foldedPaths: null, headers: [], query: [], ...part}, view);
  if (!alone({methods: rule.methods}))
    return `methods are ${http!.methods!.join(', ')}, this is ${view.readings!.methods.join(' or ')}`;
  if (!alone({paths: rule.paths, foldedPaths: rule.foldedPaths}))
    return `paths (${http!.paths!.join(', ')}) do not match${view.readings!.paths.length > 1 ? ' in every reading' : ''}`;
  for (const header of rule.headers)
    if (!alone({headers: [header]}))
      return `header ${header.name} ${header.glob === null ? 'must be absent' : `does not match ${http!.headers[header.name]}`}`;
  for (const parameter of rule.query)
    if (!alone({query: [parameter]}))
      return `query parameter ${parameter.name} ${parameter.glob === null ? 'must be absent' : `does not match ${http!.query[parameter.name]}`}`;
  return 'http fields do not hold together';
}

export type {Workload};
