/** Which policies select a workload (POLICY.md step 2), and their rules as one index. */
import {buildIndex, type RuleIndex} from './match/rule-index.ts';
import type {CompiledPolicy, CompiledRule} from './compile-rule.ts';
import type {LabelSelector, PolicyDocument} from './documents.ts';
import type {Workload} from './request.ts';

/** `unknown`: the selector looks at labels and the workload's are not known. */
export type Selects = true | false | 'unknown';

function matchesLabels(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels))
    if (!Object.hasOwn(labels, key) || labels[key] !== value) return false;
  for (const {key, operator, values} of selector.matchExpressions) {
    const value = Object.hasOwn(labels, key) ? labels[key]! : null;
    switch (operator) {
      case 'In':
        if (value === null || !values.includes(value)) return false;
        break;
      case 'NotIn':
        // As Kubernetes has it: a missing label is not in the list.
        if (value !== null && values.includes(value)) return false;
        break;
      case 'Exists':
        if (value === null) return false;
        break;
      case 'DoesNotExist':
        if (value !== null) return false;
        break;
    }
  }
  return true;
}

const isEmpty = (selector: LabelSelector) =>
  Object.keys(selector.matchLabels).length === 0 && selector.matchExpressions.length === 0;

export function policySelects(policy: PolicyDocument, workload: Workload): Selects {
  if (policy.kind === 'EgressPolicy') {
    if (policy.namespace !== workload.namespace) return false;
  } else if (!matchesLabels(policy.namespaceSelector, workload.namespaceLabels)) return false;
  if (policy.serviceAccounts.length > 0) {
    const account =
      policy.kind === 'EgressPolicy' ? workload.serviceAccount : `${workload.namespace}/${workload.serviceAccount}`;
    if (!policy.serviceAccounts.includes(account)) return false;
  }
  if (workload.labels !== null) return matchesLabels(policy.podSelector, workload.labels);
  return isEmpty(policy.podSelector) ? true : 'unknown';
}

/** The rules of a set of policies, indexed. */
export interface RuleGroup {
  readonly allow: RuleIndex;
  readonly deny: RuleIndex;
  /** The policies of the set that select for certain, in the order of decision. */
  readonly policies: readonly CompiledPolicy[];
}

/** What applies to one workload. */
export interface Selection {
  /** `none`: the installation's default; `audit`: every selecting policy is Audit; `enforce`: one or more is Enforce. */
  readonly mode: 'none' | 'audit' | 'enforce';
  /** The rules that decide: of the Enforce policies, or (mode audit) of all. */
  readonly deciding: RuleGroup;
  /** The rules as if all enforced; the same object as `deciding` where nothing differs. */
  readonly all: RuleGroup;
  /** The workload's labels are unknown to a policy that may select it. */
  readonly uncertain: boolean;
}

/** Sets of policies whose merged index is kept. A set is shared by all workloads that the same policies select. */
const MAX_GROUPS = 256;

export class Selector {
  readonly #policies: readonly CompiledPolicy[];
  readonly #clusterPolicies: readonly CompiledPolicy[];
  readonly #byNamespace = new Map<string, CompiledPolicy[]>();
  readonly #selections = new WeakMap<Workload, Selection>();
  readonly #groups = new Map<string, RuleGroup>();

  constructor(policies: readonly CompiledPolicy[]) {
    this.#policies = policies;
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
    const all = this.#group(certain, perhaps);
    // A policy that may select and enforce forbids to fall back on Audit or on the default: its Allow rules are not ours to open.
    const mode =
      enforcing.length > 0 || perhapsEnforcing.length > 0 ? 'enforce' : certain.length > 0 ? 'audit' : 'none';
    const deciding = mode === 'enforce' ? this.#group(enforcing, perhapsEnforcing) : all;
    return {mode, deciding, all, uncertain: perhaps.length > 0};
  }

  #group(certain: readonly CompiledPolicy[], perhaps: readonly CompiledPolicy[]): RuleGroup {
    const key = `${certain.map(({order}) => order).join()}|${perhaps.map(({order}) => order).join()}`;
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const of = (policies: readonly CompiledPolicy[], action: 'Allow' | 'Deny'): CompiledRule[] =>
      policies.flatMap(({rules}) => rules.filter((rule) => rule.action === action));
    const denying = [...certain, ...perhaps].sort((a, b) => a.order - b.order);
    const group: RuleGroup = {
      allow: buildIndex(of(certain, 'Allow')),
      deny: buildIndex(of(denying, 'Deny')),
      policies: certain,
    };
    if (this.#groups.size >= MAX_GROUPS) this.#groups.delete(this.#groups.keys().next().value!);
    this.#groups.set(key, group);
    return group;
  }
}
