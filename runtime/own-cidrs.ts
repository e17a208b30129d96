/** The machine's own addresses as they change: a node gets some while we run (a floating address, a CNI's bridge). */
import {isDeepStrictEqual} from 'node:util';
import {changingCidrs} from './own-addresses.ts';

/** How often they are looked at: a floating address is nobody's destination a moment after it came. */
const LOOK_MS = 500;

export class OwnCidrs {
  #now = changingCidrs();
  #clock: NodeJS.Timeout | null = null;
  #changed: (now: readonly string[]) => void = () => undefined;

  get now(): readonly string[] {
    return this.#now;
  }

  /** Tells of each change from now on, and of one since it was made. */
  watch(changed: (now: readonly string[]) => void): void {
    this.#changed = changed;
    this.#clock = setInterval(() => this.look(), LOOK_MS);
    this.look();
  }

  /** Looks at once: whoever has heard of a change need not wait. */
  look(): void {
    const now = changingCidrs();
    if (isDeepStrictEqual(now, this.#now)) return;
    this.#now = now;
    this.#changed(now);
  }

  close(): void {
    if (this.#clock !== null) clearInterval(this.#clock);
  }
}
