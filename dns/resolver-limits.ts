/** The limits of name resolution, each with its reason. */
export interface ResolverLimits {
  readonly minTtlMs: number;
  readonly maxTtlMs: number;
  readonly negativeTtlMs: number;
  readonly failedTtlMs: number;
  readonly recentMs: number;
  readonly maxNames: number;
  readonly maxNamesPerOwner: number;
  readonly maxRecentAddresses: number;
  readonly maxInFlight: number;
  readonly queryTimeoutMs: number;
  readonly queryTries: number;
  readonly noticeEveryMs: number;
}

export const RESOLVER_LIMITS: ResolverLimits = {
  /** A TTL of 0 would mean a lookup per request; one second is what stub resolvers do. */
  minTtlMs: 1_000,
  /** A name that moved is followed within minutes, whatever its TTL says. */
  maxTtlMs: 5 * 60_000,
  /** A name that does not exist may be made at any moment (a Service being created); RFC 2308 allows less than the SOA says. */
  negativeTtlMs: 2_000,
  /** A resolver that is away is not asked for each request, and found again soon (RFC 2308 §7.1: at most 5 minutes). */
  failedTtlMs: 1_000,
  /** tcp rules: clients keep using an address they were given; so long after it was last answered it still counts. */
  recentMs: 10 * 60_000,
  /** Names kept; about 0.5 KB each. The least recently used goes first. */
  maxNames: 10_000,
  /** Of these, first asked for by one workload: who invents names pushes out his own. */
  maxNamesPerOwner: 2_000,
  /** Recent addresses of one name: names of large services answer with a few of some hundred each time. */
  maxRecentAddresses: 256,
  /** Names being asked for at one time: each holds two questions; more means that the resolver does not keep up. */
  maxInFlight: 1_000,
  /** c-ares: one try to one server; it doubles with each try. With 2 tries a lookup ends within some 6 s. */
  queryTimeoutMs: 2_000,
  queryTries: 2,
  /** Notices are for people. */
  noticeEveryMs: 1_000,
};
