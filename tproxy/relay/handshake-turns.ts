/**
 * TLS handshakes take turns. One costs half a millisecond of the worker's only thread, so a pod that opens connections as
 * fast as it can would fill every turn of the event loop. A workload within its rate starts at once; beyond it, it waits
 * in its own line, and each turn of the loop starts a few, one line after the other. Alone, a workload gets all there is;
 * beside others it gets its share, and they are not made to wait for more than those few.
 */
import type {RelayLimits} from './limits.ts';
import {Lines} from './lines.ts';
import type {Usage, Usages} from './usage.ts';

export class HandshakeTurns {
  readonly #limits: RelayLimits;
  readonly #usages: Usages;
  readonly #lines = new Lines();
  #scheduled = false;

  constructor(limits: RelayLimits, usages: Usages) {
    this.#limits = limits;
    this.#usages = usages;
  }

  /** Begins at once or in its turn, in order within a workload. False: too many wait, and it is not begun. */
  enter(usage: Usage, nowMs: number, begin: () => void): boolean {
    if (!this.#lines.has(usage) && usage.turns.take(nowMs)) {
      begin();
      return true;
    }
    const {waitingHandshakesPerWorkload, waitingHandshakes} = this.#limits;
    if (!this.#usages.take(usage, 'handshakes', 1, waitingHandshakesPerWorkload, waitingHandshakes)) return false;
    this.#lines.add(usage, begin);
    this.#schedule();
    return true;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#lines.serve(this.#limits.handshakesPerTurn, (usage) => this.#usages.give(usage, 'handshakes', 1));
      if (this.#lines.size > 0) this.#schedule();
    });
  }
}
