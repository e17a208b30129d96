/** Names that cannot be intercepted, per workload: while every selecting policy is Audit they are passed through (POLICY "Audit"). */

export class AuditMemory {
  readonly #namesPerWorkload: number;
  readonly #remembered = new Map<string, Set<string>>();

  constructor(namesPerWorkload: number) {
    this.#namesPerWorkload = namesPerWorkload;
  }

  has(workload: string, name: string): boolean {
    return this.#remembered.get(workload)?.has(name) ?? false;
  }

  /** The oldest name goes when a workload has too many; it is learnt again by one more failure. */
  add(workload: string, name: string): void {
    let names = this.#remembered.get(workload);
    if (names === undefined) {
      names = new Set();
      this.#remembered.set(workload, names);
    }
    if (names.size >= this.#namesPerWorkload) {
      for (const oldest of names) {
        names.delete(oldest);
        break;
      }
    }
    names.add(name);
  }

  forget(workload: string): void {
    this.#remembered.delete(workload);
  }
}
