/** What names were answered with, until when it counts as now, and what counts as recent. */
import {LRUCache} from 'lru-cache';
import type {Address} from '../policy/index.ts';
import type {ResolverLimits} from './resolver-limits.ts';
import type {Outcome} from './resolver.ts';

interface Entry {
  readonly current: readonly Address[] | 'failed';
  readonly freshUntil: number;
  /** Address to the time until which it counts as recent; the current ones among them. */
  readonly recent: ReadonlyMap<Address, number>;
  readonly owner: string;
}

export interface NameCache {
  fresh(name: string): boolean;
  /** What counted at the time `asOf`, in ms: a lookup of several names does not lose the first while it waits for the last. */
  answer(name: string, recent: boolean, asOf: number): readonly Address[] | 'failed';
  /** `owner`: who asked for it; whom it is counted for, as long as it is kept. */
  put(name: string, outcome: Outcome, owner: string): void;
  size(): number;
}

/** Which names are kept for whom, oldest first. */
class OwnedNames {
  readonly #max: number;
  readonly #of = new Map<string, Set<string>>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Answers the owner's oldest name where he has too many now. */
  add(owner: string, name: string): string | null {
    let names = this.#of.get(owner);
    if (names === undefined) this.#of.set(owner, (names = new Set()));
    names.add(name);
    if (names.size <= this.#max) return null;
    for (const oldest of names) return oldest;
    return null;
  }

  drop(owner: string, name: string): void {
    const names = this.#of.get(owner);
    if (names?.delete(name) === true && names.size === 0) this.#of.delete(owner);
  }
}

const NONE: ReadonlyMap<Address, number> = new Map();

/** `now` in ms. */
export function createNameCache(limits: ResolverLimits, now: () => number): NameCache {
  const owned = new OwnedNames(limits.maxNamesPerOwner);
  const entries = new LRUCache<string, Entry>({
    max: limits.maxNames,
    dispose: ({owner}, name) => owned.drop(owner, name),
  });

  /** The addresses that still count as recent, with the new ones; the oldest go where there are too many. */
  function recentOf(
    before: Entry | undefined,
    addresses: readonly Address[],
    until: number,
  ): ReadonlyMap<Address, number> {
    if (before === undefined && addresses.length === 0) return NONE;
    const recent = new Map<Address, number>();
    const at = now();
    for (const [address, end] of before?.recent ?? NONE) if (end > at) recent.set(address, end);
    for (const address of addresses) {
      // Deleted first, so that the order is the order of the last answer.
      recent.delete(address);
      recent.set(address, until);
    }
    for (const address of recent.keys()) {
      if (recent.size <= limits.maxRecentAddresses) break;
      recent.delete(address);
    }
    return recent;
  }

  return {
    size: () => entries.size,
    fresh(name) {
      const entry = entries.get(name);
      return entry !== undefined && entry.freshUntil > now();
    },
    answer(name, recent, asOf) {
      const entry = entries.get(name);
      if (entry === undefined) return 'failed';
      const current = entry.freshUntil > asOf ? entry.current : 'failed';
      if (!recent || entry.recent.size === 0) return current;
      const all = current === 'failed' ? [] : [...current];
      for (const [address, until] of entry.recent) if (until > asOf && !all.includes(address)) all.push(address);
      return all.length === 0 ? current : all;
    },
    put(name, outcome, asked) {
      const before = entries.get(name);
      const owner = before?.owner ?? asked;
      const at = now();
      switch (outcome.kind) {
        case 'addresses': {
          const ttlMs = Math.min(Math.max(outcome.ttlS * 1000, limits.minTtlMs), limits.maxTtlMs);
          const recent = recentOf(before, outcome.addresses, at + ttlMs + limits.recentMs);
          entries.set(name, {current: outcome.addresses, freshUntil: at + ttlMs, recent, owner});
          break;
        }
        case 'absent':
          entries.set(name, {
            current: outcome.exists ? [] : 'failed',
            freshUntil: at + limits.negativeTtlMs,
            recent: recentOf(before, [], 0),
            owner,
          });
          break;
        case 'failed':
          entries.set(name, {
            current: 'failed',
            freshUntil: at + limits.failedTtlMs,
            recent: recentOf(before, [], 0),
            owner,
          });
          break;
      }
      const oldest = owned.add(owner, name);
      if (oldest !== null) entries.delete(oldest);
    },
  };
}
