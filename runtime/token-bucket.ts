/** A token bucket: so many at once, then so many a second. No timer: it is filled when it is looked at. */
export class TokenBucket {
  readonly #burst: number;
  readonly #perSecond: number;
  #tokens: number;
  #at = 0;

  /** Full at the beginning. */
  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#tokens = burst;
  }

  /** Takes `count` tokens if that many are there. `nowMs`: any monotonic clock, the same for each call. */
  take(nowMs: number, count = 1): boolean {
    this.#fill(nowMs);
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** Tokens taken and not come back. */
  spent(nowMs: number): number {
    this.#fill(nowMs);
    return this.#burst - this.#tokens;
  }

  #fill(nowMs: number): void {
    // A clock that goes back fills nothing.
    if (nowMs > this.#at)
      this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#at) / 1000) * this.#perSecond);
    this.#at = nowMs;
  }
}
