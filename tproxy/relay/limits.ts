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
  readonly heldBytes: number;
  /** Unsent response bytes of one workload: its connections share them. */
  readonly writeBufferBytesPerWorkload: number;
  /** The share of each connection is never less. */
  readonly minWriteBufferBytes: number;
  /** Client connections. */
  readonly connections: number;
  readonly connectionsPerWorkload: number;
  /** Above `connections`, for workloads that have few. */
  readonly reservedConnections: number;
  /** Connections above the limit that are still answered (503) instead of reset. */
  readonly answeredAboveLimit: number;
  /** Requests under way. */
  readonly requests: number;
  readonly requestsPerWorkload: number;
  /** Of one workload, begun in one turn of the event loop; the others wait for the next turns. */
  readonly requestsPerTurn: number;
  /** Of one workload's answers, moved in one turn of the event loop. */
  readonly bytesPerTurn: number;
  /** Names being looked up at once. */
  readonly lookups: number;
  readonly lookupsPerWorkload: number;
  /** Names that are not in the cache: so many at once, and per second after that. */
  readonly lookupBurst: number;
  readonly lookupsPerSecond: number;
  /** New names one workload may have leaves minted for at once, and per second after that; and all of them together. */
  readonly mintBurst: number;
  readonly mintsPerSecond: number;
  readonly mintBurstInAll: number;
  readonly mintsPerSecondInAll: number;
  /** TLS handshakes of one workload that begin at once; beyond these they take turns with other workloads'. */
  readonly handshakeBurst: number;
  readonly handshakesPerSecond: number;
  /** Begun per turn of the event loop of those that wait. */
  readonly handshakesPerTurn: number;
  readonly waitingHandshakes: number;
  readonly waitingHandshakesPerWorkload: number;
  /** Streams at once on one HTTP/2 connection, of one workload, and in all. */
  readonly streamsPerConnection: number;
  readonly streamsPerWorkload: number;
  /** Streams that a client may reset: at once, and per second after that; then its session ends. */
  readonly streamResetBurst: number;
  readonly streamResetsPerSecond: number;
  /** SETTINGS and PING frames of one client. */
  readonly controlFrameBurst: number;
  readonly controlFramesPerSecond: number;
  readonly streams: number;
  /** Heads larger than `smallHeadBytes`, finished or not, as long as their requests live. */
  readonly headerBytes: number;
  readonly headerBytesPerWorkload: number;
  /** Not counted: the most of them are. */
  readonly smallHeadBytes: number;
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
  // Four workloads at their limit.
  heldBytes: 256 * 1024 * 1024,
  // 256 connections of slow readers at the full 256 KiB; more share it, down to the least.
  writeBufferBytesPerWorkload: 64 * 1024 * 1024,
  // Node's own mark: below it a socket does not say when it has taken what it was given.
  minWriteBufferBytes: 64 * 1024,
  // About 30 KB each when intercepted: 600 MB of one worker.
  connections: 20_000,
  connectionsPerWorkload: 4_000,
  // 50 pods that use a hundredth of their own limit each, beside five that fill the limit in all.
  reservedConnections: 2_000,
  answeredAboveLimit: 100,
  // Each holds some 10 KB, its buffers not counted, and a leg to its server: 160 MB and 16,000 descriptors of a worker.
  requests: 16_000,
  // As many as its connections; a client with more under way over HTTP/2 waits for some of them first.
  requestsPerWorkload: 4_000,
  // Two milliseconds of denials: what everybody else waits at most in one turn because of one workload.
  requestsPerTurn: 32,
  // Some six milliseconds of decrypting and encrypting; less would cost single downloads more turns than bytes.
  bytesPerTurn: 4 * 1024 * 1024,
  // Below the resolver's own limit (dns/), which refuses everybody.
  lookups: 900,
  lookupsPerWorkload: 200,
  // A program that starts asks for some dozen names; a crawler for hundreds. What is cached is not counted.
  lookupBurst: 500,
  // The resolver is shared by the cluster (CoreDNS answers some 30,000 a second): one pod has no thousandth of it through us.
  lookupsPerSecond: 50,
  // A mint is 0.3 ms: a pod that invents names takes 3 ms of each second, and a build that fetches from many hosts is not slowed.
  mintBurst: 200,
  mintsPerSecond: 10,
  // A twentieth of a worker's time, however many pods invent names.
  mintBurstInAll: 2_000,
  mintsPerSecondInAll: 150,
  // A handshake is 0.5 ms. A tenth of the worker's time is nobody's business; more is shared with those who want it too.
  handshakeBurst: 100,
  handshakesPerSecond: 200,
  // Two milliseconds: what everybody else waits at most in one turn of the loop.
  handshakesPerTurn: 4,
  // At 2,000 a second half of them would be done before headTimeoutMs.
  waitingHandshakes: 4_000,
  waitingHandshakesPerWorkload: 1_000,
  // RFC 9113 §6.5.2 asks for no fewer than 100.
  streamsPerConnection: 128,
  // As requests: what is more is answered with 503 before anything is made of it.
  streamsPerWorkload: 4_000,
  // Twice the streams that it may have open: a client that cancels all it has is no attack.
  streamResetBurst: 256,
  streamResetsPerSecond: 20,
  // gRPC pings every 10 s at most, some clients probe the bandwidth with one per 64 KB that they read: 1,000 at 64 MB/s.
  controlFrameBurst: 1_000,
  controlFramesPerSecond: 500,
  streams: 16_000,
  // 512 heads of the largest kind at once, in all a tenth of what the connections may take.
  headerBytes: 128 * 1024 * 1024,
  headerBytesPerWorkload: 32 * 1024 * 1024,
  // Browsers with cookies stay below; 4,000 connections with this much each hold 32 MB.
  smallHeadBytes: 8 * 1024,
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
/** A living flow whose names may not be looked up yet is judged again after this. */
export const RECHECK_AGAIN_MS = 100;
