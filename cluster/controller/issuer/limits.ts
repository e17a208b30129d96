/** How often somebody may ask: before the API server is asked about his token, and after it has said who he is. */
import {LRUCache} from 'lru-cache';
import {TokenBucket} from '../../../runtime/token-bucket.ts';

/** At once and a second; per address many, since nodes' pods may come from one (NAT). */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

export const RATES = {
  /** A node of 250 pods that all start at once, twice. */
  address: {burst: 500, perSecond: 50},
  /** One identity in hours; more is a program that is restarted again and again, or lives of seconds (tests). */
  pod: {burst: 20, perSecond: 1},
  /** All ServiceAccounts of a node at once, twice. */
  agent: {burst: 500, perSecond: 20},
} as const satisfies Record<string, Rate>;

/** Askers that are remembered; the one not heard of for longest is forgotten, and begins anew. */
const MAX_ASKERS = 16_384;

export class Rates {
  readonly #rate: Rate;
  readonly #buckets = new LRUCache<string, TokenBucket>({max: MAX_ASKERS});

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** `nowMs`: a monotonic clock. */
  take(asker: string, nowMs: number): boolean {
    let bucket = this.#buckets.get(asker);
    if (bucket === undefined) {
      bucket = new TokenBucket(this.#rate.burst, this.#rate.perSecond);
      // Its clock begins with the first look, full.
      this.#buckets.set(asker, bucket);
    }
    return bucket.take(nowMs);
  }
}
