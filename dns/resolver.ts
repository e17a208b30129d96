/**
 * Names to addresses: A and AAAA from the one resolver, cached by TTL, looked up once however many ask. Nothing is
 * filtered here, and no search list is used: the policy asks for each expansion by its own name, for both are readings
 * that it judges, and judges every address (POLICY.md "Address classes").
 */
import {Resolver as AresResolver, type RecordWithTtl} from 'node:dns';
import {isIP} from 'node:net';
import type {Address, Names} from '../policy/index.ts';
import {createNameCache, type NameCache} from './name-cache.ts';
import {RESOLVER_LIMITS, type ResolverLimits} from './resolver-limits.ts';

export interface ResolverOptions {
  /** `ADDR[:PORT]`, IPv6 in brackets where there is a port; null: the servers of /etc/resolv.conf. */
  readonly server: string | null;
  readonly limits?: Partial<ResolverLimits>;
  /** Something an operator should see: `event` is a dotted name. At most one a second of each. */
  readonly onNotice?: (event: string, message: string) => void;
  /** The clock, in ms; for tests. */
  readonly now?: () => number;
}

export interface Resolver {
  /**
   * Looks the names up (lower-case, no trailing dot; IP literals answer themselves). `recent` adds the addresses that
   * were answered a while ago. `done` is called once, before this returns where all is cached. Never fails: a name
   * without an answer is 'failed', as is one beyond the limit of lookups under way. `owner`: who asks; of the names kept
   * so many were first asked for by one.
   */
  lookup(names: readonly string[], recent: boolean, done: (names: Names) => void, owner?: string): void;
  /** Whether lookup() would call back before it returns, so that lookups can be limited per workload. */
  known(names: readonly string[]): boolean;
  /** Lookups under way now, for metrics. */
  inFlight(): number;
  /** Names kept, for metrics. */
  cached(): number;
  close(): void;
}

/** What one question came to. `absent`: no such name, or no address of this family. */
type Answer =
  | {readonly kind: 'addresses'; readonly records: readonly RecordWithTtl[]}
  | {readonly kind: 'absent'; readonly exists: boolean}
  | {readonly kind: 'failed'};

/** What the two questions about one name came to together. */
export type Outcome =
  | {readonly kind: 'addresses'; readonly addresses: readonly Address[]; readonly ttlS: number}
  | {readonly kind: 'absent'; readonly exists: boolean}
  | {readonly kind: 'failed'};

function answerOf(error: NodeJS.ErrnoException | null, records: readonly RecordWithTtl[] | undefined): Answer {
  if (error === null)
    return records === undefined || records.length === 0
      ? {kind: 'absent', exists: true}
      : {kind: 'addresses', records};
  if (error.code === 'ENODATA') return {kind: 'absent', exists: true};
  // EBADNAME: what cannot be written in a question has no answer.
  if (error.code === 'ENOTFOUND' || error.code === 'EBADNAME') return {kind: 'absent', exists: false};
  return {kind: 'failed'};
}

/**
 * IPv4 first, each family in the server's order: the policy dials the first that survives, and in clusters without IPv6
 * an AAAA first would cost every connection a failed attempt. Where one family failed the other's answer counts:
 * broken AAAA servers are common, and what is dialled is judged in any case.
 */
function merge(v4: Answer, v6: Answer): Outcome {
  if (v4.kind === 'addresses' || v6.kind === 'addresses') {
    const records = [...(v4.kind === 'addresses' ? v4.records : []), ...(v6.kind === 'addresses' ? v6.records : [])];
    let ttlS = Infinity;
    for (const record of records) ttlS = Math.min(ttlS, record.ttl);
    // A family that failed is asked for again soon.
    if (v4.kind === 'failed' || v6.kind === 'failed') ttlS = 0;
    return {kind: 'addresses', addresses: [...new Set(records.map((record) => record.address))], ttlS};
  }
  if (v4.kind === 'failed' || v6.kind === 'failed') return {kind: 'failed'};
  return {kind: 'absent', exists: v4.exists || v6.exists};
}

class CachingResolver implements Resolver {
  readonly #options: ResolverOptions;
  readonly #limits: ResolverLimits;
  readonly #ares: AresResolver;
  readonly #cache: NameCache;
  readonly #waiting = new Map<string, (() => void)[]>();
  readonly #now: () => number;
  #noticedAt = -Infinity;
  #closed = false;

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#limits = {...RESOLVER_LIMITS, ...options.limits};
    // Not the time of day: it can be set back, and a TTL of seconds would last for hours.
    this.#now = options.now ?? (() => performance.now());
    this.#cache = createNameCache(this.#limits, this.#now);
    this.#ares = new AresResolver({timeout: this.#limits.queryTimeoutMs, tries: this.#limits.queryTries});
    if (options.server !== null) this.#ares.setServers([options.server]);
  }

  lookup(names: readonly string[], recent: boolean, done: (names: Names) => void, owner = ''): void {
    const asOf = this.#now();
    const answer = (): void => {
      const found = new Map<string, readonly Address[] | 'failed'>();
      for (const name of names) {
        found.set(name, isIP(name) !== 0 ? [name] : this.#cache.answer(name, recent, asOf));
      }
      done(found);
    };
    // One pass for the common case: everything is cached, or is a literal.
    let missing = 0;
    const arrived = (): void => {
      if (--missing === 0) answer();
    };
    const refresh: string[] = [];
    for (const name of names)
      if (isIP(name) === 0 && !this.#cache.fresh(name) && !refresh.includes(name)) refresh.push(name);
    if (refresh.length === 0) {
      answer();
      return;
    }
    missing = refresh.length;
    for (const name of refresh) this.#refresh(name, arrived, owner);
  }

  known(names: readonly string[]): boolean {
    for (const name of names) if (isIP(name) === 0 && !this.#cache.fresh(name)) return false;
    return true;
  }

  inFlight(): number {
    return this.#waiting.size;
  }

  cached(): number {
    return this.#cache.size();
  }

  close(): void {
    this.#closed = true;
    this.#ares.cancel();
  }

  #refresh(name: string, arrived: () => void, owner: string): void {
    const waiting = this.#waiting.get(name);
    if (waiting !== undefined) {
      waiting.push(arrived);
      return;
    }
    if (this.#closed || this.#waiting.size >= this.#limits.maxInFlight) {
      if (!this.#closed)
        this.#notice(
          'resolver.overloaded',
          `${this.#limits.maxInFlight} lookups are under way; further names fail until some are answered`,
        );
      // Not cached: the next question may find room.
      process.nextTick(arrived);
      return;
    }
    this.#waiting.set(name, [arrived]);
    this.#ask(name, (outcome) => this.#finish(name, outcome, owner));
  }

  #ask(name: string, done: (outcome: Outcome) => void): void {
    let v4: Answer | null = null;
    let v6: Answer | null = null;
    const both = (): void => {
      if (v4 !== null && v6 !== null) done(merge(v4, v6));
    };
    this.#ares.resolve4(name, {ttl: true}, (error, records) => {
      v4 = answerOf(error, records);
      both();
    });
    this.#ares.resolve6(name, {ttl: true}, (error, records) => {
      v6 = answerOf(error, records);
      both();
    });
  }

  #finish(name: string, outcome: Outcome, owner: string): void {
    this.#cache.put(name, outcome, owner);
    if (outcome.kind === 'failed' && !this.#closed)
      this.#notice('resolver.failed', 'the resolver did not answer, or answered with an error; see --resolver');
    const waiting = this.#waiting.get(name) ?? [];
    this.#waiting.delete(name);
    for (const arrived of waiting) arrived();
  }

  #notice(event: string, message: string): void {
    const now = this.#now();
    if (now - this.#noticedAt < this.#limits.noticeEveryMs) return;
    this.#noticedAt = now;
    this.#options.onNotice?.(event, message);
  }
}

/** A resolver on c-ares. Throws a TypeError where `server` is no address. */
export function createResolver(options: ResolverOptions): Resolver {
  return new CachingResolver(options);
}
