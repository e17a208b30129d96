/** Rules of policies that may select the same pod, and that do not do together what each says alone. */
import type {Finding, PolicyDocument} from '../documents.ts';
import {cidrInside, parseCidr} from '../match/addresses.ts';
import {HostTrie} from './host-trie.ts';
import {documentName} from './name.ts';
import {portsOf, portsOverlap, ruleName, type Reach} from './reach.ts';

/**
 * Candidates looked at for one rule. Of a thousand Denies under one name of which none is of a policy for the same pods,
 * the thousand and first goes unmentioned: a warning less, never a decision.
 */
const MAX_CANDIDATES = 1_000;

/** Whether one pod could be selected by both, as far as namespaces, labels and accounts tell. */
function maySelectTogether(a: PolicyDocument, b: PolicyDocument): boolean {
  if (a === b) return true;
  if (a.namespace !== null && b.namespace !== null && a.namespace !== b.namespace) return false;
  for (const [key, value] of Object.entries(a.podSelector.matchLabels)) {
    const other = Object.hasOwn(b.podSelector.matchLabels, key) ? b.podSelector.matchLabels[key] : value;
    if (other !== value) return false;
  }
  const accounts = (policy: PolicyDocument) =>
    policy.serviceAccounts.map((account) => (policy.namespace === null ? account : `${policy.namespace}/${account}`));
  const [ofA, ofB] = [accounts(a), accounts(b)];
  return ofA.length === 0 || ofB.length === 0 || ofA.some((account) => ofB.includes(account));
}

/** Rules by namespace and host. */
class Field {
  readonly #byNamespace = new Map<string | null, {readonly hosts: HostTrie<Reach>; readonly cidrsOnly: Reach[]}>();

  add(reach: Reach): void {
    const {namespace} = reach.policy;
    let within = this.#byNamespace.get(namespace);
    if (within === undefined)
      this.#byNamespace.set(namespace, (within = {hosts: new HostTrie<Reach>(), cidrsOnly: []}));
    for (const host of reach.rule.to.hosts) within.hosts.add(host, reach);
    if (reach.rule.to.hosts.length === 0) within.cidrsOnly.push(reach);
  }

  /** The first that accepts, among those that could match a destination together with `reach`. */
  find(reach: Reach, accepts: (other: Reach) => boolean): Reach | null {
    let looked = 0;
    for (const other of this.#candidates(reach)) {
      if (++looked > MAX_CANDIDATES) return null;
      if (maySelectTogether(reach.policy, other.policy) && accepts(other)) return other;
    }
    return null;
  }

  *#candidates(reach: Reach): Generator<Reach> {
    const {namespace} = reach.policy;
    for (const [of, within] of this.#byNamespace) {
      if (namespace !== null && of !== null && of !== namespace) continue;
      for (const host of reach.rule.to.hosts) yield* within.hosts.overlapping(host);
      for (const other of within.cidrsOnly) if (cidrsMeet(reach, other)) yield other;
      if (reach.rule.to.hosts.length === 0)
        for (const other of within.hosts.overlapping('*')) if (cidrsMeet(reach, other)) yield other;
    }
  }
}

/** Whether an address could be in both. Hosts alone may have any address, but only an entry for all of them says so. */
function cidrsMeet(a: Reach, b: Reach): boolean {
  const [ofA, ofB] = [a.rule.to.cidrs, b.rule.to.cidrs];
  if (ofA.length === 0) return ofB.some((cidr) => cidr.endsWith('/0'));
  if (ofB.length === 0) return ofA.some((cidr) => cidr.endsWith('/0'));
  const parsed = ofB.flatMap((text) => parseCidr(text) ?? []);
  return ofA.some((text) => {
    const one = parseCidr(text);
    return one !== null && parsed.some((other) => cidrInside(one, other) || cidrInside(other, one));
  });
}

/** A tls Allow passes bytes through unseen, so where a Deny needs the request the connection is refused. */
export function tlsBesideDeny(reaches: readonly Reach[]): Finding[] {
  const denies = new Field();
  for (const reach of reaches)
    if (reach.rule.action === 'Deny' && reach.needsRequest && reach.schemes.includes('https')) denies.add(reach);
  return reaches.flatMap((reach) => {
    if (reach.rule.action !== 'Allow' || !reach.schemes.includes('tls')) return [];
    const deny = denies.find(reach, (other) => portsOverlap(portsOf(reach, 'tls'), portsOf(other, 'https')));
    if (deny === null) return [];
    return [
      warning(
        reach,
        'TlsBesideHttpDeny',
        `the Deny ${ruleName(deny)} needs the request, which this tls rule does not show: where both match, the connection is refused (Uninspectable)`,
        'Use schemes [https] here, or keep the hosts of the two apart.',
      ),
    ];
  });
}

/** tcp has no name to compare, so a wildcard among a Deny's hosts holds nothing back there. */
export function wildcardDenyBesideTcp(reaches: readonly Reach[]): Finding[] {
  const tcp = new Map<string | null, Reach[]>();
  for (const reach of reaches) {
    if (reach.rule.action !== 'Allow' || !reach.schemes.includes('tcp')) continue;
    const list = tcp.get(reach.policy.namespace);
    if (list === undefined) tcp.set(reach.policy.namespace, [reach]);
    else if (list.length < MAX_CANDIDATES) list.push(reach);
  }
  if (tcp.size === 0) return [];
  return reaches.flatMap((deny) => {
    const wildcard = deny.rule.to.hosts.find((host) => host.startsWith('*'));
    if (deny.rule.action !== 'Deny' || wildcard === undefined || !deny.schemes.includes('tcp')) return [];
    const {namespace} = deny.policy;
    const lists = namespace === null ? [...tcp.values()] : [tcp.get(namespace) ?? [], tcp.get(null) ?? []];
    const allow = lists
      .flat()
      .find(
        (other) =>
          portsOverlap(portsOf(deny, 'tcp'), portsOf(other, 'tcp')) && maySelectTogether(deny.policy, other.policy),
      );
    if (allow === undefined) return [];
    return [
      warning(
        deny,
        'WildcardDenyBesideTcp',
        `"${wildcard}" denies nothing of what the tcp rule ${ruleName(allow)} allows: tcp shows no name, and a wildcard has no addresses`,
        'Deny by cidrs or exact hosts, or set schemes [https, http, tls] here to say that tcp is not meant.',
      ),
    ];
  });
}

export function warning({policy, rule, index}: Reach, code: string, message: string, fix: string): Finding {
  return {
    severity: 'warning',
    code,
    message,
    fix,
    at: rule.at,
    object: documentName(policy),
    path: `spec.rules[${index}]`,
  };
}
