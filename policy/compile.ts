/** From documents to what `decide` reads: rules in the order of decision, parents by name, the installation's ranges. */
import {compileRule, type CompiledPolicy} from './compile-rule.ts';
import type {Document, Installation, PolicyDocument, UpstreamProxyDocument} from './documents.ts';
import {rangesOf, type Ranges} from './match/classes.ts';
import {parseHostPattern, type HostPattern} from './match/hosts.ts';
import {policySelects, Selector, type NotLoaded} from './select.ts';
import type {Workload} from './request.ts';

export interface CompiledProxy {
  readonly document: UpstreamProxyDocument;
  readonly hosts: readonly HostPattern[];
  readonly except: readonly HostPattern[];
}

/** Compiled policies: immutable, but for caches that change no answer. */
export interface PolicySet {
  readonly installation: Installation;
  readonly ranges: Ranges;
  readonly selector: Selector;
  readonly proxies: ReadonlyMap<string, CompiledProxy>;
  /** Whether a parent looks names up itself (resolve: Proxy). */
  readonly hasBlindProxies: boolean;
  /** Parents with hosts, by name: the first that holds a destination carries it. */
  readonly defaultProxies: readonly CompiledProxy[];
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Cluster policies first, then by policy name; of the same name by namespace (no workload sees two of those). */
function inOrder(a: PolicyDocument, b: PolicyDocument): number {
  if (a.kind !== b.kind) return a.kind === 'ClusterEgressPolicy' ? -1 : 1;
  return byText(a.name, b.name) || byText(a.namespace ?? '', b.namespace ?? '');
}

/** Never throws. Documents are those that loading accepted; what may be selected by those in `notLoaded` is refused everything. */
export function compilePolicies(
  documents: readonly Document[],
  installation: Installation,
  notLoaded: NotLoaded = [],
): PolicySet {
  const policies = documents.filter((document) => document.kind !== 'UpstreamProxy').sort(inOrder);
  let order = 0;
  const compiled = policies.map((document, place): CompiledPolicy => {
    return {document, order: place, rules: document.rules.map((rule) => compileRule(document, rule, order++))};
  });
  const patterns = (texts: readonly string[]) =>
    texts.flatMap((text) => {
      const parsed = parseHostPattern(text);
      return parsed.ok ? [parsed.pattern] : [];
    });
  const proxies = documents
    .filter((document) => document.kind === 'UpstreamProxy')
    .sort((a, b) => byText(a.name, b.name))
    .map((document) => ({document, hosts: patterns(document.hosts), except: patterns(document.except)}));
  return {
    installation,
    ranges: rangesOf(installation),
    selector: new Selector(compiled, notLoaded),
    proxies: new Map(proxies.map((proxy) => [proxy.document.name, proxy])),
    hasBlindProxies: proxies.some(({document}) => document.resolve === 'Proxy'),
    defaultProxies: proxies.filter(({hosts}) => hosts.length > 0),
  };
}

/** The modes of the policies that select the workload, or may select it (its labels being unknown). */
export function modesSelecting(policies: PolicySet, workload: Workload): ReadonlySet<'Enforce' | 'Audit'> {
  const modes = new Set<'Enforce' | 'Audit'>();
  // Refused everything by a policy that is not known: to be refused, it has to be captured.
  if (policies.selector.lacks(workload)) modes.add('Enforce');
  for (const {document} of policies.selector.policies) {
    const selects = policySelects(document, workload);
    // A policy that only may select captures and locks if it enforces; as an Audit one it opens nothing.
    if (selects === true || (selects === 'unknown' && document.mode === 'Enforce')) modes.add(document.mode);
  }
  return modes;
}

/**
 * Of workloads that no rule can tell apart, the first: where the same policies select them in the same way, only conditions
 * look at who they are. A Deployment's thousand pods, and mostly a namespace's Deployments, are one.
 */
export function distinctWorkloads(policies: PolicySet, workloads: Iterable<Workload>): Workload[] {
  const {selector} = policies;
  const conditions = selector.policies.flatMap(({document}) => document.rules.flatMap(({when}) => when ?? []));
  const looksAtSource = conditions.some((when) => when.includes('source'));
  const looksAtName = looksAtSource && conditions.some((when) => /name(?!space)/.test(when));
  const kinds = new Map<string, Workload>();
  for (const workload of workloads) {
    const {namespace, name, labels, serviceAccount, trustsCa} = workload;
    const who = looksAtSource ? JSON.stringify([namespace, serviceAccount, labels, looksAtName ? name : null]) : '';
    const key = `${selector.select(workload).key} ${trustsCa} ${who}`;
    if (!kinds.has(key)) kinds.set(key, workload);
  }
  return [...kinds.values()];
}
