/** Rules that can never decide anything, since a rule looked at before them matches all that they match. */
import type {Finding, PolicyDocument} from '../documents.ts';
import {formatCidr, makeCidr, parseCidr} from '../match/addresses.ts';
import {coveringPatterns} from './host-trie.ts';
import {documentName} from './name.ts';
import {covers, reachOf, type Reach} from './reach.ts';

/**
 * Rules kept under one host and path. More than these differ in methods and headers only; a rule in the shadow of the
 * hundredth goes unmentioned, which costs a warning and never a decision.
 */
const MAX_KEPT_PER_KEY = 32;

/** Rules by destination and path, so that each is compared with the few that could cover it. */
class Index {
  readonly #byDestination = new Map<string, Map<string, Reach[]>>();

  add(reach: Reach): void {
    const {to, http} = reach.rule;
    for (const destination of to.hosts.length > 0 ? to.hosts : to.cidrs) {
      let byPath = this.#byDestination.get(destination);
      if (byPath === undefined) this.#byDestination.set(destination, (byPath = new Map<string, Reach[]>()));
      for (const path of http?.paths ?? ['']) {
        const kept = byPath.get(path);
        if (kept === undefined) byPath.set(path, [reach]);
        else if (kept.length < MAX_KEPT_PER_KEY) kept.push(reach);
      }
    }
  }

  /** What covers a rule covers its first destination and its first path. */
  firstCovering(reach: Reach, clusterDomain: string): Reach | null {
    const {to, http} = reach.rule;
    const destinations = to.hosts.length > 0 ? coveringPatterns(to.hosts[0]!) : coveringCidrs(to.cidrs[0]!);
    const paths = coveringPaths(http?.paths?.[0] ?? null);
    let first: Reach | null = null;
    for (const destination of destinations) {
      const byPath = this.#byDestination.get(destination);
      if (byPath === undefined) continue;
      // A tls rule is in the shadow of an https rule whatever paths that has.
      const keys = reach.schemes.includes('tls') ? byPath.keys() : paths;
      for (const key of keys)
        for (const candidate of byPath.get(key) ?? [])
          if ((first === null || candidate.index < first.index) && covers(candidate, reach, clusterDomain))
            first = candidate;
    }
    return first;
  }
}

function coveringCidrs(text: string): string[] {
  const cidr = parseCidr(text);
  if (cidr === null) return [];
  const wider: string[] = [];
  for (let prefix = cidr.prefix; prefix >= 0; prefix--) wider.push(formatCidr(makeCidr(cidr.base, prefix)));
  return wider;
}

function coveringPaths(path: string | null): string[] {
  const paths = ['', '**'];
  if (path === null) return paths;
  if (path !== '**') paths.push(path);
  for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1))
    paths.push(`${path.slice(0, slash + 1)}**`);
  return paths;
}

export function shadowedRules(policy: PolicyDocument, clusterDomain: string): Finding[] {
  const findings: Finding[] = [];
  const reaches = policy.rules.map((rule, index) => reachOf(policy, rule, index));
  const denies = new Index();
  const allows = new Index();
  const report = (reach: Reach, by: Reach) => findings.push(shadowed(reach, by));
  // Order of decision: every Deny before every Allow.
  for (const reach of reaches) {
    if (reach.rule.action !== 'Deny') continue;
    const by = denies.firstCovering(reach, clusterDomain);
    if (by !== null) report(reach, by);
    else denies.add(reach);
  }
  for (const reach of reaches) {
    if (reach.rule.action !== 'Allow') continue;
    const by = denies.firstCovering(reach, clusterDomain) ?? allows.firstCovering(reach, clusterDomain);
    if (by !== null) report(reach, by);
    else allows.add(reach);
  }
  return findings.sort((a, b) => a.at.line - b.at.line || a.at.column - b.at.column);
}

function shadowed(reach: Reach, by: Reach): Finding {
  const {policy, rule, index} = reach;
  const where = `"${by.rule.name}" at line ${by.rule.at.line}`;
  return {
    severity: 'warning',
    code: 'ShadowedRule',
    message:
      by.rule.action === rule.action
        ? `the rule "${rule.name}" never decides: ${where} matches all that it matches, and is looked at first`
        : `the rule "${rule.name}" allows nothing: the Deny ${where} matches all that it matches`,
    fix:
      by.rule.action === rule.action
        ? 'Put the narrower rule first, or leave it out.'
        : 'Narrow the Deny, or leave this rule out.',
    at: rule.at,
    object: documentName(policy),
    path: `spec.rules[${index}]`,
  };
}
