/** What rules and UpstreamProxies say of one another. */
import type {Finding, UpstreamProxyDocument} from '../documents.ts';
import {warning} from './beside.ts';
import {closest} from './closest.ts';
import {hostCovers, HostTrie} from './host-trie.ts';
import {documentName} from './name.ts';
import type {Reach} from './reach.ts';

/** `via` that names no parent: such requests are refused (502), and never go direct. */
export function missingParents(reaches: readonly Reach[], proxies: readonly UpstreamProxyDocument[]): Finding[] {
  const names = proxies.map(({name}) => name);
  const known = new Set(['Direct', ...names]);
  return reaches.flatMap((reach) => {
    const {via} = reach.rule;
    if (via === null || known.has(via)) return [];
    const near = closest(via, [...names.slice(0, 1000), 'Direct']);
    return [
      warning(
        reach,
        'MissingUpstreamProxy',
        `there is no UpstreamProxy "${via}": what this rule allows is refused with 502 UpstreamUnreachable`,
        near === null ? 'Add the UpstreamProxy, or correct via.' : `Did you mean ${near}?`,
      ),
    ];
  });
}

/** The narrower of two patterns that overlap: what both hold. */
const common = (a: string, b: string): string => (hostCovers(a, b) ? b : a);

/** Two parents that hold a name by default: the first by name is taken. */
export function ambiguousParents(proxies: readonly UpstreamProxyDocument[]): Finding[] {
  const findings: Finding[] = [];
  const earlier = new HostTrie<{readonly proxy: UpstreamProxyDocument; readonly pattern: string}>();
  const sorted = [...proxies].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const proxy of sorted) {
    const told = new Set<UpstreamProxyDocument>();
    for (const pattern of proxy.hosts) {
      for (const {proxy: first, pattern: other} of earlier.overlapping(pattern)) {
        const shared = common(pattern, other);
        if (told.has(first) || [...first.except, ...proxy.except].some((except) => hostCovers(except, shared)))
          continue;
        told.add(first);
        findings.push(
          about(
            proxy,
            'TwoParentsMatch',
            `${shared === '*' ? 'every name' : `"${shared}"`} goes through ${first.name} as well by default, and ${first.name} is taken, as the first by name`,
            'Keep their hosts apart, add it to except of one, or choose in the rule with via.',
          ),
        );
        // One other parent is enough to say so; walking on would be quadratic where many hold "*".
        break;
      }
    }
    for (const pattern of proxy.hosts) earlier.add(pattern, {proxy, pattern});
  }
  return findings;
}

/** A parent that looks names up itself is given only what a rule names exactly or by suffix. */
export function unresolvedParents(reaches: readonly Reach[], proxies: readonly UpstreamProxyDocument[]): Finding[] {
  const unresolving = new Map(proxies.filter(({resolve}) => resolve === 'Proxy').map((proxy) => [proxy.name, proxy]));
  if (unresolving.size === 0) return [];
  const byDefault = [...unresolving.values()].find(({hosts}) => hosts.includes('*'));
  return reaches.flatMap((reach) => {
    const {rule} = reach;
    if (rule.action === 'Deny') return [];
    const {hosts, cidrs} = rule.to;
    const onlyAny = hosts.length > 0 && hosts.every((host) => host === '*');
    const byVia = rule.via === null ? undefined : unresolving.get(rule.via);
    const parent = byVia ?? (rule.via === null && onlyAny ? byDefault : undefined);
    if (parent === undefined) return [];
    const why =
      cidrs.length > 0
        ? 'addresses are not known here, so cidrs match no name'
        : onlyAny
          ? '"*" is no permission for a name that was not looked up'
          : null;
    if (why === null) return [];
    return [
      warning(
        reach,
        'NeverThroughParent',
        `no name goes through ${parent.name} by this rule: with resolve: Proxy ${why}`,
        'Write exact hosts or "*.suffix" without cidrs, or set resolve: Both.',
      ),
    ];
  });
}

function about(proxy: UpstreamProxyDocument, code: string, message: string, fix: string): Finding {
  return {severity: 'warning', code, message, fix, at: proxy.at, object: documentName(proxy), path: 'spec.hosts'};
}
