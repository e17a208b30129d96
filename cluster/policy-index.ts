/** Policies by where they can select, so that a pod asks the few that might and not all of them. */
import {policySelects, type PolicyDocument, type Workload} from '../policy/index.ts';

export class PolicyIndex {
  readonly #policies = new Map<string, PolicyDocument>();
  /** null: those of the cluster. */
  readonly #byNamespace = new Map<string | null, Map<string, PolicyDocument>>();

  /** `id`: any text that names the policy; null takes it away. */
  set(id: string, policy: PolicyDocument | null): void {
    const before = this.#policies.get(id);
    if (before !== undefined) {
      const there = this.#byNamespace.get(before.namespace)!;
      there.delete(id);
      if (there.size === 0) this.#byNamespace.delete(before.namespace);
      this.#policies.delete(id);
    }
    if (policy === null) return;
    this.#policies.set(id, policy);
    let there = this.#byNamespace.get(policy.namespace);
    if (there === undefined) this.#byNamespace.set(policy.namespace, (there = new Map<string, PolicyDocument>()));
    there.set(id, policy);
  }

  get(id: string): PolicyDocument | undefined {
    return this.#policies.get(id);
  }

  /** The ids of those that select the workload, or that may: what it is labelled is not known. */
  selecting(workload: Workload): string[] {
    const found: string[] = [];
    for (const namespace of [null, workload.namespace])
      for (const [id, policy] of this.#byNamespace.get(namespace) ?? [])
        if (policySelects(policy, workload) !== false) found.push(id);
    return found;
  }
}
