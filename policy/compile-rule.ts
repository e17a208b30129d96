/** One rule, ready to be matched: defaults filled in, texts parsed, and what it needs to know worked out. */
import {compileCondition} from './cel/compile.ts';
import type {Condition} from './cel/condition.ts';
import type {Mutations} from './decision.ts';
import type {PolicyDocument, PortRange, RuleDocument, Scheme} from './documents.ts';
import {parseCidr, type Cidr} from './match/addresses.ts';
import {foldGlob, parsePathGlob, parseValueGlob, type Glob} from './match/globs.ts';
import {isBelow, isUnder, parseHostPattern} from './match/hosts.ts';

/** Schemes as bits, so that "https or tls" is one test. */
export const HTTPS = 1;
export const HTTP = 2;
export const TLS = 4;
export const TCP = 8;
export const ALL_SCHEMES = 15;

export const SCHEME_BITS: Readonly<Record<Scheme, number>> = {https: HTTPS, http: HTTP, tls: TLS, tcp: TCP};

/** Where a rule is looked for: its policy, and its place in the order of decision. */
export interface CompiledPolicy {
  readonly document: PolicyDocument;
  /** Place in the order of decision: cluster policies first, then by name (and namespace). */
  readonly order: number;
  readonly rules: readonly CompiledRule[];
}

export interface CompiledRule {
  readonly document: RuleDocument;
  readonly policy: PolicyDocument;
  /** Place among all rules of the set, in the order of decision. */
  readonly order: number;
  readonly action: 'Allow' | 'Deny';
  /** Bits of the schemes that it applies to; of a Deny without schemes, all. */
  readonly schemes: number;
  /** The Deny was written without schemes, so that tls and tcp connections are refused if it needs their request. */
  readonly allSchemes: boolean;
  /** null: every port (Deny), or each scheme's own (Allow). */
  readonly ports: readonly PortRange[] | null;
  readonly exactHosts: readonly string[];
  readonly suffixes: readonly string[];
  readonly anyHost: boolean;
  readonly hasHosts: boolean;
  readonly cidrs: readonly Cidr[];
  /** It cannot be judged before the request is seen. */
  readonly needsRequest: boolean;
  readonly methods: ReadonlySet<string> | null;
  readonly paths: readonly Glob[] | null;
  /** A Deny's paths for texts in lower case; an Allow's are its paths. */
  readonly foldedPaths: readonly Glob[] | null;
  readonly headers: readonly NamedGlob[];
  readonly query: readonly NamedGlob[];
  readonly when: Condition | null;
  readonly usesDestinationIp: boolean;
  readonly requestMutations: Mutations;
  readonly responseMutations: Mutations;
  readonly via: string | null;
}

/** `glob` null: must be absent. */
export interface NamedGlob {
  readonly name: string;
  readonly glob: Glob | null;
}

/** What could not be compiled fails the safe way: an Allow matches nothing, a Deny everything it might. Loading refuses such documents. */
export function compileRule(policy: PolicyDocument, document: RuleDocument, order: number): CompiledRule {
  const {to, http} = document;
  const deny = document.action === 'Deny';
  const hosts = to.hosts.flatMap((text) => {
    const parsed = parseHostPattern(text);
    return parsed.ok ? [parsed.pattern] : [];
  });
  const cidrs = to.cidrs.flatMap((text) => {
    const cidr = parseCidr(text);
    return cidr === null ? [] : [cidr];
  });
  const schemes =
    to.schemes === null
      ? deny
        ? ALL_SCHEMES
        : HTTPS
      : to.schemes.reduce((bits, scheme) => bits | SCHEME_BITS[scheme], 0);
  const when = document.when === null ? null : compileWhen(document.when, deny);
  const paths = http?.paths == null ? null : globsOf(http.paths, parsePathGlob);
  const headers = http === null ? [] : namedGlobs(http.headers);
  const query = http === null ? [] : namedGlobs(http.query);
  const needsRequest =
    (http !== null && (http.methods !== null || http.paths !== null || headers.length > 0 || query.length > 0)) ||
    (when?.needsRequest ?? false) ||
    hasMutations(document.request) ||
    hasMutations(document.response);
  return {
    document,
    policy,
    order,
    action: document.action,
    schemes,
    allSchemes: deny && to.schemes === null,
    ports: to.ports,
    exactHosts: hosts.flatMap((pattern) => (pattern.kind === 'exact' ? [pattern.host] : [])),
    suffixes: hosts.flatMap((pattern) => (pattern.kind === 'suffix' ? [pattern.suffix] : [])),
    anyHost: hosts.some((pattern) => pattern.kind === 'any'),
    hasHosts: to.hosts.length > 0,
    cidrs,
    needsRequest,
    methods: http?.methods == null ? null : new Set(http.methods),
    paths,
    foldedPaths: paths !== null && deny ? paths.map(foldGlob) : paths,
    headers,
    query,
    when,
    usesDestinationIp: when?.usesDestinationIp ?? false,
    requestMutations: document.request,
    responseMutations: document.response,
    via: document.via,
  };
}

function hasMutations({set, add, remove}: Mutations): boolean {
  return remove.length > 0 || Object.keys(set).length > 0 || Object.keys(add).length > 0;
}

function compileWhen(source: string, deny: boolean): Condition {
  const compiled = compileCondition(source, {sees: 'request'});
  if (compiled.ok) return compiled.condition;
  return {
    source,
    needsRequest: false,
    needsHeaders: false,
    usesDestinationIp: false,
    evaluate: () => (deny ? 'unknown' : false),
  };
}

function globsOf(texts: readonly string[], parse: typeof parsePathGlob): Glob[] {
  return texts.flatMap((text) => {
    const parsed = parse(text);
    return parsed.ok ? [parsed.glob] : [];
  });
}

function namedGlobs(of: Readonly<Record<string, string | null>>): NamedGlob[] {
  return Object.entries(of).map(([name, text]) => {
    const parsed = text === null ? null : parseValueGlob(text);
    // Of a glob that does not parse: one that no value of an Allow matches.
    return {name, glob: parsed === null ? null : parsed.ok ? parsed.glob : {...UNMATCHABLE, text: text!}};
  });
}

const UNMATCHABLE: Glob = {text: '', prefix: '\uffff', exact: true, tokens: [], openEnd: false};

/** Whether the rule applies to this scheme (one bit) on this port. */
export function coversPort(rule: CompiledRule, scheme: number, port: number): boolean {
  if ((rule.schemes & scheme) === 0) return false;
  if (rule.ports === null) {
    if (rule.action === 'Deny') return true;
    // POLICY.md: default 443 for https and tls, 80 for http; tcp has none.
    return scheme === HTTP ? port === 80 : scheme !== TCP && port === 443;
  }
  for (const {from, to} of rule.ports) if (from <= port && port <= to) return true;
  return false;
}

/** Whether the rule applies to any of these schemes (bits) on this port. */
export function coversAny(rule: CompiledRule, schemes: number, port: number): boolean {
  for (let bit = HTTPS; bit <= TCP; bit <<= 1) if ((schemes & bit) !== 0 && coversPort(rule, bit, port)) return true;
  return false;
}

/** Whether an exact or suffix entry of the rule holds the name. */
export function holdsNameClosely(rule: CompiledRule, name: string): boolean {
  for (const host of rule.exactHosts) if (host === name) return true;
  for (const suffix of rule.suffixes) if (isBelow(name, suffix)) return true;
  return false;
}

/** Whether the rule's hosts hold the name. An Allow's `*` holds no name under the cluster domain. */
export function holdsName(rule: CompiledRule, name: string, clusterDomain: string): boolean {
  if (rule.anyHost && (rule.action === 'Deny' || !isUnder(name, clusterDomain))) return true;
  return holdsNameClosely(rule, name);
}
