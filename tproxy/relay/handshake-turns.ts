/**
 * TLS handshakes take turns. One costs half a millisecond of the worker's only thread, so a pod that opens connections as
 * fast as it can would fill every turn of the event loop. A workload within its rate starts at once; beyond it, it waits
 * in its own line, and each turn of the loop starts a few, one line after the other. Alone, a workload gets all there is;
 * beside others it gets its share, and they are not made to wait for more than those few.
 */
import type {RelayLimits} from './limits.ts';
import type {Usage, Usages} from './usage.ts';

interface Waiting {
  readonly usage: Usage;
  readonly begin: () => void;
}

export class HandshakeTurns {
  readonly #limits: RelayLimits;
  readonly #usages: Usages;
  /** One line per workload that waits; the first of the map is served first and goes to the end. */
  readonly #lines = new Map<Usage, Waiting[]>();
  #scheduled = false;

  constructor(limits: RelayLimits, usages: Usages) {
    this.#limits = limits;
    this.#usages = usages;
  }

  /** Begins at once or in its turn, in order within a workload. False: too many wait, and it is not begun. */
  enter(usage: Usage, nowMs: number, begin: () => void): boolean {
    const line = this.#lines.get(usage);
    if (line === undefined && usage.turns.take(nowMs)) {
      begin();
      return true;
    }
    const {waitingHandshakesPerWorkload, waitingHandshakes} = this.#limits;
    if (!this.#usages.take(usage, 'handshakes', 1, waitingHandshakesPerWorkload, waitingHandshakes)) return false;
    if (line === undefined) this.#lines.set(usage, [{usage, begin}]);
    else line.push({usage, begin});
    this.#schedule();
    return true;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = false;
    for (let begun = 0; begun < this.#limits.handshakesPerTurn; begun++) {
      const first = this.#lines.entries().next();
      if (first.done === true) return;
      const [usage, line] = first.value;
      this.#lines.delete(usage);
      const waiting = line.shift()!;
      if (line.length > 0) this.#lines.set(usage, line);
      this.#usages.give(usage, 'handshakes', 1);
      waiting.begin();
    }
    if (this.#lines.size > 0) this.#schedule();
  }
}
