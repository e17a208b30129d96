/** Every bound of the relay, with its reason (invariant 8). Times in milliseconds, sizes in bytes. */
export interface RelayLimits {
  /** How long a silent captured client is waited for before it counts as one whose server speaks first. */
  readonly detectTimeoutMs: number;
  /** How long a silent client that no opaque rule would carry is still waited for: a connection opened ahead of its first request. */
  readonly silentTimeoutMs: number;
  /** From the first byte of a ClientHello or request head to its last, and for a TLS handshake. */
  readonly headTimeoutMs: number;
  /** A kept connection without a request. */
  readonly keepAliveTimeoutMs: number;
  /** A body, either way, that does not move, and an answer that does not come. */
  readonly idleTimeoutMs: number;
  /** An answer to a client that ended its side: it may want it, or it was killed. */
  readonly halfClosedMs: number;
  /** A tunnel (WebSocket, tls, tcp) that carries nothing. */
  readonly tunnelIdleTimeoutMs: number;
  /** How long, and how much of, an upload that was answered already is still read, so that the client sees the answer. */
  readonly lingerMs: number;
  readonly lingerBytes: number;
  /** An unread body of a refused request up to this size is read and dropped, and the connection kept. */
  readonly discardBytes: number;
  /** Bytes looked at to tell a protocol. */
  readonly peekBytes: number;
  /** Unsent response bytes of one client before its upstream is paused. */
  readonly writeBufferBytes: number;
  /** A body over HTTP/2 with a declared length up to this is held until it is whole (invariant 5: lengths hold before anything is sent on). */
  readonly heldBodyBytes: number;
  /** Of one workload's bodies; above it the next one is streamed like a large one. */
  readonly heldBytesPerWorkload: number;
  readonly connections: number;
  readonly connectionsPerWorkload: number;
  /** Connections above the limit that are still answered (503) instead of reset. */
  readonly answeredAboveLimit: number;
  readonly requestsPerWorkload: number;
  readonly lookupsPerWorkload: number;
  /** New names one workload may have leaves minted for at once, and per second after that. */
  readonly mintBurst: number;
  readonly mintsPerSecond: number;
  /** Streams at once on one HTTP/2 connection. */
  readonly streamsPerConnection: number;
  readonly headerListBytes: number;
  readonly headerLines: number;
  /** Names per workload that Audit passes through because interception failed. */
  readonly auditMemory: number;
}

export const RELAY_LIMITS: RelayLimits = {
  // SMTP, MySQL and SSH clients wait for the server; nobody notices 400 ms once per connection, and a ClientHello comes within a round trip.
  detectTimeoutMs: 400,
  // Pools open connections ahead; nothing is dialled for them, so waiting costs one descriptor.
  silentTimeoutMs: 2_500,
  // Three TCP retransmissions of a ClientHello in two segments fit; slowloris holds a connection no longer.
  headTimeoutMs: 10_000,
  // Longer than the 60 s that most clients keep an idle connection, so that the client closes first and no request meets our FIN.
  keepAliveTimeoutMs: 75_000,
  // Long polls and slow builds answer within five minutes; the same as nginx's usual raised read timeout.
  idleTimeoutMs: 300_000,
  // Long enough for a script that pipes a request into a socket; a killed client's long poll is let go soon.
  halfClosedMs: 10_000,
  // Envoy's tcp idle timeout: one hour. TCP keep-alive finds dead peers earlier.
  tunnelIdleTimeoutMs: 3_600_000,
  lingerMs: 5_000,
  lingerBytes: 16 * 1024 * 1024,
  discardBytes: 256 * 1024,
  // The largest ClientHello parsed (16 KiB, one record) and the largest request head.
  peekBytes: 64 * 1024,
  writeBufferBytes: 256 * 1024,
  // One default flow-control window: a client may send it without waiting for us.
  heldBodyBytes: 64 * 1024,
  // Eight connections full of such uploads; thousands of connections of one pod must not fill a worker's memory.
  heldBytesPerWorkload: 64 * 1024 * 1024,
  // About 30 KB each when intercepted: 600 MB of one worker.
  connections: 20_000,
  connectionsPerWorkload: 4_000,
  answeredAboveLimit: 100,
  requestsPerWorkload: 8_000,
  lookupsPerWorkload: 200,
  // A mint is 0.3 ms: a pod that invents names takes 3 ms of each second, and a build that fetches from many hosts is not slowed.
  mintBurst: 200,
  mintsPerSecond: 10,
  // RFC 9113 §6.5.2 asks for no fewer than 100.
  streamsPerConnection: 128,
  headerListBytes: 64 * 1024,
  headerLines: 256,
  auditMemory: 1_000,
};

/** How often deadlines are looked at; a deadline is late by at most this. */
export const SWEEP_MS = 1_000;
/** Rounds of questions and look-ups for one decision: chains of needs are two or three long. */
export const MAX_ROUNDS = 8;
/** Living flows decided again per turn of the event loop after a policy change. */
export const RECHECK_BATCH = 200;
