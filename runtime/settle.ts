/** Changes that come in bursts, taken together. */

/** Calls `take` once for all that is asked for within `ms` of the last call: the first of a burst at once, in a turn of its own. */
export class Settle {
  readonly #ms: number;
  readonly #take: () => void;
  #timer: NodeJS.Timeout | null = null;
  #takenAt = -Infinity;
  #stopped = false;

  constructor(ms: number, take: () => void) {
    this.#ms = ms;
    this.#take = take;
  }

  ask(): void {
    if (this.#stopped) return;
    this.#timer ??= setTimeout(
      () => {
        this.#timer = null;
        this.#takenAt = performance.now();
        this.#take();
      },
      Math.max(0, this.#ms - (performance.now() - this.#takenAt)),
    );
  }

  /** For good. */
  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}
