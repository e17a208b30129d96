/** Work that waits for its turn of the event loop: a line per workload, and the lines are served one after the other. */
import type {Usage} from './usage.ts';

export class Lines {
  /** The first of the map is served first and goes to the end. */
  readonly #lines = new Map<Usage, (() => void)[]>();

  /** Workloads that wait. */
  get size(): number {
    return this.#lines.size;
  }

  has(usage: Usage): boolean {
    return this.#lines.has(usage);
  }

  add(usage: Usage, begin: () => void): void {
    const line = this.#lines.get(usage);
    if (line === undefined) this.#lines.set(usage, [begin]);
    else line.push(begin);
  }

  /** Begins up to `count`, one of each workload in turn and in order within a workload. */
  serve(count: number, served: (usage: Usage) => void = () => undefined): void {
    for (let begun = 0; begun < count; begun++) {
      const first = this.#lines.entries().next();
      if (first.done === true) return;
      const [usage, line] = first.value;
      this.#lines.delete(usage);
      const begin = line.shift()!;
      if (line.length > 0) this.#lines.set(usage, line);
      served(usage);
      begin();
    }
  }
}
