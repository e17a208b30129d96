/** Every limit of the upstream side, each with its reason (invariant 8). Times in milliseconds, sizes in bytes. */
export const LIMITS = {
  /** One address answers a SYN within this or is given up: three transmissions of a lost SYN (at 0, 1 and 3 s) and some. */
  connectTimeoutMs: 5_000,
  /** How long one address may keep quiet before the next is tried beside it (RFC 8305 §5: 250 ms recommended). */
  attemptDelayMs: 250,
  /** Addresses tried for one connection; a name with more has none that answers. */
  maxDialAttempts: 8,
  /** A TLS handshake takes two round trips and a signature; a server that needs longer is not there. */
  handshakeTimeoutMs: 10_000,
  /** A parent answers CONNECT after it has connected itself, so it gets its own connect time and ours. */
  tunnelTimeoutMs: 15_000,
  /** A parent's answer to CONNECT: heads are a few hundred bytes; a refusal's page is not read. */
  maxTunnelHeadBytes: 16 * 1024,
  /** A parent's endpoint that failed is tried last for this long, then first again. */
  endpointRestMs: 30_000,
  /** Checked addresses that a parent is asked to connect to, one after the other, before the request fails. */
  maxTunnelAddresses: 3,
  /** TCP keepalive: a peer that vanished is noticed, and NAT entries on the way stay. */
  keepAliveDelayMs: 30_000,

  /** An idle HTTP/1 leg is closed after this: below the keep-alive time of common servers (nginx 75 s, Go and Node 5 s-2 min). */
  idleLegMs: 15_000,
  /** An HTTP/2 session without streams is closed after this; its set-up cost is the same and it holds one socket for all. */
  idleSessionMs: 60_000,
  /** Idle HTTP/1 legs of one key (a workload to a name): as many as one busy client opens at a time. */
  maxIdleLegsPerKey: 256,
  /** Idle HTTP/1 legs in all: each holds a socket and TLS state of some 40 KB. */
  maxIdleLegs: 4_096,
  /** Of these, of one workload: a crawler's idle legs do not take the place of others'. */
  maxIdleLegsPerWorkload: 1_024,
  /** HTTP/2 sessions in all, and of one workload: a name each; beyond it the oldest idle one is closed, and where none is, the request is refused. */
  maxSessions: 4_096,
  maxSessionsPerWorkload: 512,
  /** HTTP/2 sessions of one key: 8 x 100 streams are more than one workload uses; then streams wait in node:http2. */
  maxSessionsPerKey: 8,
  /** Streams we put on one HTTP/2 session, whatever more the server offers. */
  maxStreamsPerSession: 100,
  /** Remembered facts about servers (speaks only h2, only http/1.1), bounded so that many names do not fill memory. */
  maxRememberedServers: 10_000,
  /** TLS sessions for resumption; about 2 KB each. */
  maxTlsSessions: 2_000,
  /** A session is resumed at most this long after its certificate was verified. */
  tlsSessionMs: 60 * 60_000,
  /** Secure contexts by roots (ours, and one for each caBundle); each holds the parsed public roots, some MB. */
  maxSecureContexts: 16,

  /** Request body kept so that it can be sent again on a fresh leg, and while a leg is being opened. */
  maxReplayBytes: 64 * 1024,
  /** ... of one workload: beyond it bodies are not kept, and what fails is not sent again. */
  maxReplayBytesPerWorkload: 32 * 1024 * 1024,
  /** Times one exchange is sent again (RFC 9110 §9.2.2); more would hammer a server that is restarting. */
  maxRetries: 1,
  /** An upstream that neither sends nor takes a byte for this long while it owes us something is given up. */
  silenceMs: 10 * 60_000,
  /** Interim responses (1xx) before the final one over HTTP/2: as many as the HTTP/1 codec takes. */
  maxInformational: 32,

  /** HTTP/2 response header list (RFC 9113 §6.5.2), as the HTTP/1 codec bounds heads. */
  maxHeaderListBytes: 64 * 1024,
  /** Header lines of one HTTP/2 response, pseudo-headers included; as the HTTP/1 codec bounds lines. */
  maxHeaderPairs: 200,
  /** What node:http2 may hold for one session, in MB: 100 uploads that each wait with a few chunks; beyond it streams are refused. */
  sessionMemoryMb: 64,
  /** HTTP/2 receive window of a stream: 1 MB bodies arrive without a stall, a slow client holds no more than this. */
  streamWindowBytes: 512 * 1024,
  /** HTTP/2 receive window of a session, shared by its streams. */
  sessionWindowBytes: 4 * 1024 * 1024,
  /** Answers over HTTP/2 that wait for slow clients, of one workload: 256 windows; beyond it those that hold most are cut. */
  maxWaitingBytesPerWorkload: 128 * 1024 * 1024,
  /** Frames that are no use to anybody (empty DATA, CVE-2019-9518; bad ones) before a session ends; node:http2's default is 1,000. */
  maxInvalidFrames: 32,
  /** Entries in one SETTINGS frame: there are 9 in the registry. */
  maxSettings: 32,
  /** The table that a server may fill (RFC 7541 §4.2): the default, said. Its entries are counted after expansion. */
  headerTableBytes: 4_096,
  /** SETTINGS and PING frames in one tick of the clock: a server sends a handful; each makes us answer (CVE-2019-9512, -9515). */
  maxControlFramesPerTick: 50,
  /** A session with streams is pinged when it was quiet for this long, and closed when the answer is missing as long again. */
  pingAfterMs: 30_000,

  /** The one coarse clock for idle legs, silence and floods: no timer is armed per request. */
  tickMs: 1_000,
} as const;
