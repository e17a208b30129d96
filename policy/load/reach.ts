/** A rule with its defaults written out, and when one rule's traffic lies within another's. */
import {compileCondition} from '../cel/compile.ts';
import type {PolicyDocument, PortRange, RuleDocument, Scheme} from '../documents.ts';
import {cidrInside, parseCidr} from '../match/addresses.ts';
import {isUnder} from '../match/hosts.ts';
import {hostCovers} from './host-trie.ts';

export interface Reach {
  readonly policy: PolicyDocument;
  readonly rule: RuleDocument;
  /** Its place among the policy's rules. */
  readonly index: number;
  readonly schemes: readonly Scheme[];
  /** It cannot be decided before the request is seen. */
  readonly needsRequest: boolean;
}

const ALL_SCHEMES: readonly Scheme[] = ['https', 'http', 'tls', 'tcp'];
const ANY_PORT: readonly PortRange[] = [{from: 1, to: 65535}];

export function reachOf(policy: PolicyDocument, rule: RuleDocument, index: number): Reach {
  const needsRequest = rule.http !== null || (rule.when !== null && readsRequest(rule.when));
  const schemes =
    rule.to.schemes ??
    (rule.action === 'Allow' ? ['https' as const] : needsRequest ? ALL_SCHEMES.slice(0, 2) : ALL_SCHEMES);
  return {policy, rule, index, schemes, needsRequest};
}

function readsRequest(when: string): boolean {
  if (!when.includes('request')) return false;
  const compiled = compileCondition(when, {sees: 'request'});
  return compiled.ok && compiled.condition.needsRequest;
}

/** `policy/rule`, as decisions name it. */
export const ruleName = ({policy, rule}: Reach): string => `${policy.name}/${rule.name}`;

export function portsOf({rule}: Reach, scheme: Scheme): readonly PortRange[] {
  if (rule.to.ports !== null) return rule.to.ports;
  if (rule.action === 'Deny') return ANY_PORT;
  const port = scheme === 'http' ? 80 : 443;
  return [{from: port, to: port}];
}

export const portsOverlap = (a: readonly PortRange[], b: readonly PortRange[]): boolean =>
  a.some((one) => b.some((other) => one.from <= other.to && other.from <= one.to));

const portsCover = (outer: readonly PortRange[], inner: readonly PortRange[]): boolean =>
  inner.every((range) => outer.some(({from, to}) => from <= range.from && range.to <= to));

/** Whether what `inner` would match never gets to it, since `outer` is looked at first and matches all of it. */
export function covers(outer: Reach, inner: Reach, clusterDomain: string): boolean {
  return (
    schemesCover(outer, inner) &&
    hostsCover(outer, inner, clusterDomain) &&
    cidrsCover(outer, inner) &&
    conditionsCover(outer.rule, inner)
  );
}

/**
 * A TLS connection is https and tls at once: an earlier tls rule passes it through before an https rule is asked, and an
 * earlier https rule has it decrypted, after which no tls rule matches.
 */
function schemesCover(outer: Reach, inner: Reach): boolean {
  return inner.schemes.every((scheme) => {
    const by = outer.schemes.includes(scheme)
      ? scheme
      : outer.rule.action === 'Allow' && scheme === 'https' && outer.schemes.includes('tls')
        ? 'tls'
        : outer.rule.action === 'Allow' && scheme === 'tls' && outer.schemes.includes('https')
          ? 'https'
          : null;
    return by !== null && portsCover(portsOf(outer, by), portsOf(inner, scheme));
  });
}

function hostsCover(outer: Reach, inner: Reach, clusterDomain: string): boolean {
  const wide = outer.rule.to.hosts;
  const narrow = inner.rule.to.hosts;
  if (wide.length === 0 || narrow.length === 0) return wide.length === narrow.length;
  return narrow.every((host) =>
    wide.some((pattern) => {
      if (!hostCovers(pattern, host)) return false;
      // An Allow's "*" holds no name of the cluster, and a short name may turn out to be one.
      return pattern !== '*' || outer.rule.action === 'Deny' || host === '*' || !mayBeClusterName(host, clusterDomain);
    }),
  );
}

function mayBeClusterName(host: string, clusterDomain: string): boolean {
  const name = host.startsWith('*.') ? host.slice(2) : host;
  const dots = name.split('.').length - 1;
  return isUnder(name, clusterDomain) || isUnder(clusterDomain, name) || dots < 2;
}

function cidrsCover(outer: Reach, inner: Reach): boolean {
  const wide = outer.rule.to.cidrs;
  const narrow = inner.rule.to.cidrs;
  // An Allow without cidrs reaches public addresses only, one with cidrs those as well.
  if (wide.length === 0) return narrow.length === 0 || outer.rule.action === 'Deny';
  if (narrow.length === 0) return false;
  return narrow.every((text) => {
    const cidr = parseCidr(text);
    return cidr !== null && wide.some((other) => other === text || cidrInside(cidr, parseCidr(other)!));
  });
}

function conditionsCover(outer: RuleDocument, {rule: inner, schemes}: Reach): boolean {
  // Whether an https rule's request fits is asked only once the connection is decrypted: too late for a tls rule.
  const onlyTls = outer.action === 'Allow' && schemes.every((scheme) => scheme === 'tls');
  if (outer.when !== null && outer.when !== inner.when) return false;
  if (outer.http === null || onlyTls) return true;
  if (inner.http === null) return false;
  const {methods, paths, headers, query} = outer.http;
  const methodsHold = methods === null || inner.http.methods?.every((method) => methods.includes(method)) === true;
  const pathsHold =
    paths === null || inner.http.paths?.every((path) => paths.some((wide) => pathCovers(wide, path))) === true;
  return methodsHold && pathsHold && isSubset(headers, inner.http.headers) && isSubset(query, inner.http.query);
}

/** Of two globs, `/a/**` holds whatever begins with `/a/`; more than that is not worked out. */
export function pathCovers(outer: string, inner: string): boolean {
  if (outer === inner || outer === '**') return true;
  if (!outer.endsWith('**')) return false;
  const prefix = outer.slice(0, -2);
  return !prefix.includes('*') && inner.startsWith(prefix);
}

const isSubset = (
  conditions: Readonly<Record<string, string | null>>,
  of: Readonly<Record<string, string | null>>,
): boolean => Object.entries(conditions).every(([name, glob]) => Object.hasOwn(of, name) && of[name] === glob);
