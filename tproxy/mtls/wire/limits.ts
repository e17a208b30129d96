/** What one connection, and all of them, may take. */

export interface WireLimits {
  /** From the first packet to a verified peer. A handshake takes two round trips; a lost packet or two fit in. */
  readonly handshakeTimeoutMs: number;
  /** How long a Permissive pod's peer that is enrolled may be silent before it is taken for a plain one that waits for its server. */
  readonly peekTimeoutMs: number;
  /** Of a ClientHello that may be ours, before anybody was verified; ours are under 2 kB, also with post-quantum key shares. */
  readonly helloBytes: number;
  /** Until the program, or the other node, has answered. */
  readonly connectTimeoutMs: number;
  /** Open at once in one worker: some 60 kB each with TLS. */
  readonly connections: number;
  /** Of them from one address: so that one pod cannot take all. */
  readonly connectionsPerSource: number;
}

export const WIRE_LIMITS: WireLimits = {
  handshakeTimeoutMs: 10_000,
  peekTimeoutMs: 500,
  helloBytes: 8_192,
  connectTimeoutMs: 10_000,
  connections: 20_000,
  connectionsPerSource: 5_000,
};

/**
 * Inside of a pod, whose proxy has 512Mi unless it is given more, the relay's connections among them: 4,000 take 240 MB at most. A
 * pod is one server, and has fewer clients than a node's pods together.
 */
export const POD_CONNECTION_LIMITS = {connections: 4_000, connectionsPerSource: 500} as const;
export const POD_WIRE_LIMITS: WireLimits = {...WIRE_LIMITS, ...POD_CONNECTION_LIMITS};

/**
 * When a connection that says nothing is asked whether it is there. conntrack forgets one of which one way has ended after 60 s
 * (nf_conntrack_tcp_timeout_close_wait), and what it has forgotten the rules refuse: asked twice before that, a lost packet fits in.
 */
export const WIRE_KEEP_ALIVE_MS = 25_000;
