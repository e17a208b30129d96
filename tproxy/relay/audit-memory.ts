/** Names that cannot be intercepted, per workload: while every selecting policy is Audit they are passed through (POLICY "Audit"). */

/** Workloads come and go with their pods: many times what one node has at a time. Who is forgotten learns by one failure more. */
export const MAX_AUDITED_WORKLOADS = 10_000;

export class AuditMemory {
  readonly #namesPerWorkload: number;
  /** The one that learnt last is last. */
  readonly #remembered = new Map<string, Set<string>>();

  constructor(namesPerWorkload: number) {
    this.#namesPerWorkload = namesPerWorkload;
  }

  has(workload: string, name: string): boolean {
    return this.#remembered.get(workload)?.has(name) ?? false;
  }

  /** The oldest name goes when a workload has too many; it is learnt again by one more failure. */
  add(workload: string, name: string): void {
    const names = this.#remembered.get(workload) ?? new Set<string>();
    this.#remembered.delete(workload);
    this.#remembered.set(workload, names);
    names.add(name);
    dropOldest(names, this.#namesPerWorkload);
    dropOldest(this.#remembered, MAX_AUDITED_WORKLOADS);
  }
}

/** Maps and sets keep the order in which their keys came. */
function dropOldest<K>(kept: Map<K, unknown> | Set<K>, max: number): void {
  if (kept.size <= max) return;
  for (const oldest of kept.keys()) {
    kept.delete(oldest);
    return;
  }
}
