/** Every bound of the ext_authz service, with its reason (invariant 8). */
export const EXTAUTHZ_LIMITS = {
  /** Rounds of questions and look-ups for one decision: chains of needs are two or three long. */
  rounds: 8,
  /** Names of one workload that are looked up at once. */
  lookupsPerWorkload: 200,
  /** Host names whose last need is remembered, so that they are decided in one round ... */
  hints: 10_000,
  /** ... of names up to this long, which is every name (RFC 1035 §2.3.4) with its port. */
  hintCharacters: 262,
  /** Places to which one workload's TLS is known to be decrypted; a pod talks to tens of them. */
  openedPerWorkload: 1_000,
  /** One CheckRequest. Envoy's header limit is 60 KiB by default, and bodies are not looked at: with_request_body is not needed. */
  messageBytes: 1024 * 1024,
  /** Checks under way of one Envoy's connection; its circuit breaker allows 1,024 by default. */
  streamsPerConnection: 1_024,
  /**
   * Streams that a connection may reset at once, and a second. A client that goes away has Envoy take its question back, so
   * Node's own limits (1000, and 33 a second) let one pod end the connection that all the others are asked about on. A reset
   * is cheaper than a Check, and one process answers about so many.
   */
  streamResetBurst: 50_000,
  streamResetsPerSecond: 20_000,
  /** One Envoy has one connection per worker thread: a thousand pods. */
  connections: 4_096,
  /** ... of which one address may have so many: an Envoy of 64 threads that checks and fetches secrets, twice over. */
  connectionsPerAddress: 256,
  /** Frames that nghttp2 holds for one connection. */
  sessionMemoryMegabytes: 16,
  /** For a TLS handshake, and then for the preface of HTTP/2: who has nothing to say takes no place. */
  handshakeMs: 10_000,
  /** Bytes of unfinished messages in all. Above it the connection that sent most lately is cut: an honest Check is whole in one read. */
  heldBytes: 256 * 1024 * 1024,
  /** How often that is looked at: at 10 Gbit/s another 300 MB can come in between. */
  heldEveryMs: 250,
} as const;
