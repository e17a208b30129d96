/**
 * Requests take turns. A denial is answered in some 50 µs without waiting for anybody, so a pod that pipelines them would
 * have thousands served before anybody else's bytes are looked at. In one turn of the event loop so many of a workload
 * begin; the rest wait in its line for the next turns. Likewise so many bytes of answers are moved: libuv reads a fast
 * server's socket 32 times before it looks at the next one. Alone, a workload gets all there is.
 */
import type {RelayLimits} from './limits.ts';
import {Lines} from './lines.ts';
import type {Usage} from './usage.ts';

export class RequestTurns {
  readonly #perTurn: number;
  readonly #bytesPerTurn: number;
  /** What goes on when this turn has ended. */
  #next: (() => void)[] = [];
  readonly #lines = new Lines();
  #turn = 1;
  #ends = false;

  constructor(limits: RelayLimits) {
    this.#perTurn = limits.requestsPerTurn;
    this.#bytesPerTurn = limits.bytesPerTurn;
  }

  /** Whether one more request of the workload may begin in this turn; counts it. Else it is to wait(). */
  mayBegin(usage: Usage): boolean {
    this.#enter(usage);
    if (usage.begun >= this.#perTurn || this.#lines.has(usage)) return false;
    usage.begun++;
    return true;
  }

  /** Begins in one of the next turns, in order within the workload. */
  wait(usage: Usage, begin: () => void): void {
    this.#lines.add(usage, begin);
  }

  /** Whether the workload may move more in this turn, after these bytes. Else it is to go on in next(). */
  mayMove(usage: Usage, bytes: number): boolean {
    this.#enter(usage);
    usage.moved += bytes;
    return usage.moved < this.#bytesPerTurn;
  }

  /** Called when this turn has ended. */
  next(goOn: () => void): void {
    this.#next.push(goOn);
  }

  #enter(usage: Usage): void {
    if (!this.#ends) this.#endLater();
    if (usage.turn === this.#turn) return;
    usage.turn = this.#turn;
    usage.begun = 0;
    usage.moved = 0;
  }

  #endLater(): void {
    this.#ends = true;
    setImmediate(this.#end);
  }

  readonly #end = (): void => {
    this.#ends = false;
    this.#turn++;
    if (this.#next.length > 0) {
      const next = this.#next;
      this.#next = [];
      for (const goOn of next) goOn();
    }
    if (this.#lines.size === 0) return;
    this.#endLater();
    this.#lines.serve(this.#perTurn);
  };
}
