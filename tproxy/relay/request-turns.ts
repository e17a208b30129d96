/**
 * Requests take turns. A denial is answered in some 50 µs without waiting for anybody, so a pod that pipelines them would
 * have thousands served before anybody else's bytes are looked at. In one turn of the event loop so many of a workload
 * begin; the rest wait in its line for the next turns. Alone, a workload gets all there is.
 */
import type {RelayLimits} from './limits.ts';
import {Lines} from './lines.ts';
import type {Usage} from './usage.ts';

export class RequestTurns {
  readonly #perTurn: number;
  readonly #lines = new Lines();
  #turn = 1;
  #ends = false;

  constructor(limits: RelayLimits) {
    this.#perTurn = limits.requestsPerTurn;
  }

  /** Whether one more request of the workload may begin in this turn; counts it. Else it is to wait(). */
  mayBegin(usage: Usage): boolean {
    if (!this.#ends) this.#endLater();
    if (usage.turn !== this.#turn) {
      usage.turn = this.#turn;
      usage.begun = 0;
    }
    if (usage.begun >= this.#perTurn || this.#lines.has(usage)) return false;
    usage.begun++;
    return true;
  }

  /** Begins in one of the next turns, in order within the workload. */
  wait(usage: Usage, begin: () => void): void {
    this.#lines.add(usage, begin);
  }

  #endLater(): void {
    this.#ends = true;
    setImmediate(this.#end);
  }

  readonly #end = (): void => {
    this.#ends = false;
    this.#turn++;
    if (this.#lines.size === 0) return;
    this.#endLater();
    this.#lines.serve(this.#perTurn);
  };
}
