/** What each workload holds of us at the moment, what all of them hold together, and what each may take a second (invariant 8). */
import {TokenBucket} from '../../runtime/token-bucket.ts';
import type {RelayLimits} from './limits.ts';

/** What is counted while it is held. */
export interface Held {
  connections: number;
  /** HTTP requests under way. */
  requests: number;
  /** Streams of HTTP/2 clients, from their HEADERS frame to their end. */
  streams: number;
  /** Names that are being looked up, each once however many requests wait for it. */
  lookups: number;
  /** Promised by bodies that are held until they are whole. */
  heldBytes: number;
  /** Of large or unfinished heads. */
  headerBytes: number;
  /** TLS handshakes that wait for their turn. */
  handshakes: number;
}

/** The share of its own limit below which a workload is let in where the limit in all is reached. */
export const MODEST_SHARE = 100;

/** What the keys of unknown workloads begin with; their source address follows. */
export const UNKNOWN = 'address ';

export class Usage implements Held {
  readonly key: string;
  /** In the workload table: who is not could be anybody, and as many as he likes. */
  readonly known: boolean;
  connections = 0;
  requests = 0;
  streams = 0;
  lookups = 0;
  heldBytes = 0;
  headerBytes = 0;
  handshakes = 0;
  /** The turn of the event loop of the two below (request-turns.ts), and the requests begun in it. */
  turn = 0;
  begun = 0;
  /** Bytes of answers moved in that turn. */
  moved = 0;
  /** The names that are being looked up, and how many ask. */
  readonly asked = new Map<string, number>();
  /** New names that leaves are minted for. */
  readonly mints: TokenBucket;
  /** Names that are not in the cache. */
  readonly names: TokenBucket;
  /** Handshakes that do not wait for their turn. */
  readonly turns: TokenBucket;

  constructor(key: string, limits: RelayLimits) {
    this.key = key;
    this.known = !key.startsWith(UNKNOWN);
    this.mints = new TokenBucket(limits.mintBurst, limits.mintsPerSecond);
    this.names = new TokenBucket(limits.lookupBurst, limits.lookupsPerSecond);
    this.turns = new TokenBucket(limits.handshakeBurst, limits.handshakesPerSecond);
  }

  /** Nothing is held, and nothing was taken that has not come back: a new one would be no different. */
  idle(nowMs: number): boolean {
    return (
      this.connections === 0 &&
      this.requests === 0 &&
      this.streams === 0 &&
      this.lookups === 0 &&
      this.handshakes === 0 &&
      this.mints.spent(nowMs) === 0 &&
      this.names.spent(nowMs) === 0 &&
      this.turns.spent(nowMs) === 0
    );
  }
}

export class Usages {
  readonly all: Held = {
    connections: 0,
    requests: 0,
    streams: 0,
    lookups: 0,
    heldBytes: 0,
    headerBytes: 0,
    handshakes: 0,
  };
  readonly #limits: RelayLimits;
  readonly #mints: TokenBucket;
  readonly #of = new Map<string, Usage>();

  constructor(limits: RelayLimits) {
    this.#limits = limits;
    this.#mints = new TokenBucket(limits.mintBurstInAll, limits.mintsPerSecondInAll);
  }

  /** The usage of a workload; forgotten by sweep() only, so that opening anew does not forgive. */
  of(key: string): Usage {
    let usage = this.#of.get(key);
    if (usage === undefined) this.#of.set(key, (usage = new Usage(key, this.#limits)));
    return usage;
  }

  /** Workloads that hold something, or did lately. */
  get workloads(): number {
    return this.#of.size;
  }

  /** Held, whatever the limits say; give() it back. */
  hold(usage: Usage, what: keyof Held, amount: number): void {
    usage[what] += amount;
    this.all[what] += amount;
  }

  give(usage: Usage, what: keyof Held, amount: number): void {
    usage[what] -= amount;
    this.all[what] -= amount;
  }

  /**
   * Held if the workload's own limit and the one in all allow it. Those who fill the limit in all do not shut the others
   * out: a workload that stays below a hundredth of its own limit is let in above it, and a node has a few hundred pods.
   */
  take(usage: Usage, what: keyof Held, amount: number, ofOne: number, inAll: number): boolean {
    const mine = usage[what] + amount;
    if (mine > ofOne) return false;
    if (this.all[what] + amount > inAll && !(usage.known && mine <= ofOne / MODEST_SHARE)) return false;
    this.hold(usage, what, amount);
    return true;
  }

  /** Whether these names, not all in the cache, may be looked up for this workload now; counted until answered(). */
  ask(usage: Usage, names: readonly string[], nowMs: number): boolean {
    const {lookupsPerWorkload, lookups} = this.#limits;
    let more = 0;
    for (const name of new Set(names)) if (!usage.asked.has(name)) more++;
    if (more > 0 && !this.take(usage, 'lookups', more, lookupsPerWorkload, lookups)) return false;
    if (more > 0 && !usage.names.take(nowMs, more)) {
      this.give(usage, 'lookups', more);
      return false;
    }
    for (const name of names) usage.asked.set(name, (usage.asked.get(name) ?? 0) + 1);
    return true;
  }

  answered(usage: Usage, names: readonly string[]): void {
    for (const name of names) {
      const left = usage.asked.get(name)! - 1;
      if (left > 0) usage.asked.set(name, left);
      else {
        usage.asked.delete(name);
        this.give(usage, 'lookups', 1);
      }
    }
  }

  /** Whether one more leaf may be minted for this workload now; counts it. */
  mayMint(usage: Usage, nowMs: number): boolean {
    if (!usage.mints.take(nowMs)) return false;
    if (this.#mints.take(nowMs)) return true;
    // The same rule: who minted little is not held up by those who mint much.
    return usage.known && usage.mints.spent(nowMs) <= this.#limits.mintBurst / MODEST_SHARE;
  }

  /** Who holds nothing and has taken nothing lately is forgotten. */
  sweep(nowMs: number): void {
    for (const [key, usage] of this.#of) if (usage.idle(nowMs)) this.#of.delete(key);
  }
}

/** Unsent response bytes that one of `holders` connections or streams may have, so that together they keep the workload's limit. */
export function writeShare(limits: RelayLimits, holders: number): number {
  const share = limits.writeBufferBytesPerWorkload / holders;
  return share >= limits.writeBufferBytes ? limits.writeBufferBytes : Math.max(limits.minWriteBufferBytes, share);
}
