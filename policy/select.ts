/** Which policies select a workload (POLICY.md step 2), and their rules as one index. */
import {buildIndex, type RuleIndex} from './match/rule-index.ts';
import type {CompiledPolicy, CompiledRule} from './compile-rule.ts';
import type {LabelSelector, PolicyDocument} from './documents.ts';
import {matchesLabels} from './labels.ts';
import type {Workload} from './request.ts';

/** `unknown`: the selector looks at labels and the workload's are not known. */
export type Selects = true | false | 'unknown';

const isEmpty = (selector: LabelSelector) =>
  Object.keys(selector.matchLabels).length === 0 && selector.matchExpressions.length === 0;

/** A selector that looks at labels, and labels that are not known: it may or may not hold. */
function holds(selector: LabelSelector, labels: Readonly<Record<string, string>> | null): Selects {
  if (labels !== null) return matchesLabels(selector, labels);
  return isEmpty(selector) ? true : 'unknown';
}

export function policySelects(policy: PolicyDocument, workload: Workload): Selects {
  const ofNamespaces = policy.kind === 'EgressPolicy';
  const byNamespace = ofNamespaces
    ? policy.namespace === workload.namespace
    : holds(policy.namespaceSelector, workload.namespaceLabels);
  if (byNamespace === false) return false;
  if (policy.serviceAccounts.length > 0) {
    const account = ofNamespaces ? workload.serviceAccount : `${workload.namespace}/${workload.serviceAccount}`;
    if (!policy.serviceAccounts.includes(account)) return false;
  }
  const byPod = holds(policy.podSelector, workload.labels);
  return byPod === true ? byNamespace : byPod;
}

/** The rules of a set of policies, indexed. */
export interface RuleGroup {
  readonly allow: RuleIndex;
  readonly deny: RuleIndex;
  /** The policies of the set that select for certain, in the order of decision. */
  readonly policies: readonly CompiledPolicy[];
}

/** Policies whose rules are indexed together. */
interface GroupSpec {
  readonly key: string;
  readonly certain: readonly CompiledPolicy[];
  readonly perhaps: readonly CompiledPolicy[];
}

/**
 * `none`: the installation's default; `audit`: every selecting policy is Audit; `enforce`: one or more is Enforce;
 * `not-loaded`: a policy that may select it is not known, whatever the others say.
 */
export type SelectionMode = 'none' | 'audit' | 'enforce' | 'not-loaded';

/** Namespaces of policies that are there and could not be read; null: that of a cluster policy, which may select every pod. */
export type NotLoaded = readonly (string | null)[];

/** What applies to one workload. Its groups are built when they are asked for, and may be built again. */
export class Selection {
  readonly mode: SelectionMode;
  /** Whether `deciding` and `all` are the same rules. */
  readonly same: boolean;
  /** Equal where the same policies select in the same way. */
  readonly key: string;
  readonly #groups: GroupCache;
  readonly #deciding: GroupSpec;
  readonly #all: GroupSpec;

  constructor(mode: SelectionMode, groups: GroupCache, deciding: GroupSpec, all: GroupSpec) {
    this.mode = mode;
    this.same = deciding.key === all.key;
    this.key = `${mode} ${deciding.key} ${all.key}`;
    this.#groups = groups;
    this.#deciding = deciding;
    this.#all = all;
  }

  /** The rules that decide: of the Enforce policies, or (mode audit) of all. */
  get deciding(): RuleGroup {
    return this.#groups.get(this.#deciding);
  }

  /** The rules as if all enforced. */
  get all(): RuleGroup {
    return this.#groups.get(this.#all);
  }
}

/**
 * Rules that may be held in indexes at once, of all sets of policies together: an index takes about 1 kB a rule. A set is
 * shared by all workloads that the same policies select, so few installations come near it.
 */
const MAX_INDEXED_RULES = 500_000;

/** Indexes by the policies that they are of. The oldest is dropped where they grow too many; it is built again when asked for. */
class GroupCache {
  readonly #groups = new Map<string, {readonly group: RuleGroup; readonly rules: number}>();
  #rules = 0;

  get(spec: GroupSpec): RuleGroup {
    return this.#groups.get(spec.key)?.group ?? this.#build(spec);
  }

  #build({key, certain, perhaps}: GroupSpec): RuleGroup {
    const of = (policies: readonly CompiledPolicy[], action: 'Allow' | 'Deny'): CompiledRule[] =>
      policies.flatMap(({rules}) => rules.filter((rule) => rule.action === action));
    const allows = of(certain, 'Allow');
    const denies = of(
      [...certain, ...perhaps].sort((a, b) => a.order - b.order),
      'Deny',
    );
    const group: RuleGroup = {allow: buildIndex(allows), deny: buildIndex(denies), policies: certain};
    // An empty set counts too: it is not for nothing.
    const rules = allows.length + denies.length + 1;
    for (const [oldest, {rules: freed}] of this.#groups) {
      if (this.#rules + rules <= MAX_INDEXED_RULES) break;
      this.#groups.delete(oldest);
      this.#rules -= freed;
    }
    this.#groups.set(key, {group, rules});
    this.#rules += rules;
    return group;
  }
}

export class Selector {
  readonly #policies: readonly CompiledPolicy[];
  readonly #clusterPolicies: readonly CompiledPolicy[];
  readonly #byNamespace = new Map<string, CompiledPolicy[]>();
  readonly #selections = new WeakMap<Workload, Selection>();
  readonly #notLoaded: ReadonlySet<string | null>;
  readonly #groups = new GroupCache();

  constructor(policies: readonly CompiledPolicy[], notLoaded: NotLoaded) {
    this.#policies = policies;
    this.#notLoaded = new Set(notLoaded);
    this.#clusterPolicies = policies.filter(({document}) => document.kind === 'ClusterEgressPolicy');
    for (const policy of policies) {
      const {kind, namespace} = policy.document;
      if (kind !== 'EgressPolicy' || namespace === null) continue;
      const list = this.#byNamespace.get(namespace);
      if (list === undefined) this.#byNamespace.set(namespace, [policy]);
      else list.push(policy);
    }
  }

  get policies(): readonly CompiledPolicy[] {
    return this.#policies;
  }

  /** Whether a policy that may select the workload could not be read. */
  lacks({namespace}: Workload): boolean {
    return this.#notLoaded.has(null) || this.#notLoaded.has(namespace);
  }

  select(workload: Workload): Selection {
    const known = this.#selections.get(workload);
    if (known !== undefined) return known;
    const selection = this.#compute(workload);
    this.#selections.set(workload, selection);
    return selection;
  }

  #compute(workload: Workload): Selection {
    const certain: CompiledPolicy[] = [];
    const perhaps: CompiledPolicy[] = [];
    // Cluster policies come first in the order of decision, so the two lists one after the other are in order.
    for (const list of [this.#clusterPolicies, this.#byNamespace.get(workload.namespace) ?? []])
      for (const policy of list) {
        const selects = policySelects(policy.document, workload);
        if (selects === true) certain.push(policy);
        else if (selects === 'unknown') perhaps.push(policy);
      }
    const enforced = ({document}: CompiledPolicy) => document.mode === 'Enforce';
    const enforcing = certain.filter(enforced);
    const perhapsEnforcing = perhaps.filter(enforced);
    const all = groupSpec(certain, perhaps);
    // A policy that may select and enforce forbids to fall back on Audit or on the default: its Allow rules are not ours to open.
    const mode: SelectionMode = this.lacks(workload)
      ? 'not-loaded'
      : enforcing.length > 0 || perhapsEnforcing.length > 0
        ? 'enforce'
        : certain.length > 0
          ? 'audit'
          : 'none';
    return new Selection(mode, this.#groups, mode === 'enforce' ? groupSpec(enforcing, perhapsEnforcing) : all, all);
  }
}

function groupSpec(certain: readonly CompiledPolicy[], perhaps: readonly CompiledPolicy[]): GroupSpec {
  const orders = (policies: readonly CompiledPolicy[]): string => policies.map(({order}) => order).join();
  return {key: `${orders(certain)}|${orders(perhaps)}`, certain, perhaps};
}
