/** What a workload shows to its peers, and where it comes from: the seam between who issues and who speaks TLS. */

/** An X.509 SVID with its key, and the roots its peers are verified with. One value: what belongs together changes together. */
export interface Identity {
  /** `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT`. */
  readonly spiffeId: string;
  /** PKCS#8; it never leaves the process that holds it. */
  readonly keyPem: string;
  /** The leaf first, then what stands between it and a root; the root left out. */
  readonly chainPem: string;
  /** What peers are verified with: never in a trust store of programs, and never the CA that inspects. */
  readonly rootsPem: string;
  /** Of the leaf and of what is above it, the earliest end; Unix time in ms. */
  readonly notAfterMs: number;
}

export interface IdentitySource {
  /**
   * What the workload shows now; null: there is none yet, or the last good one has ended. Who needs one then refuses (Strict) or
   * speaks plain (Permissive). Cheap: asked for each connection. The same object as long as nothing changed, so that a TLS
   * context can be kept by it.
   */
  current(workloadUid: string): Identity | null;
  /** Told after any of them changed; answers how to stop being told. */
  onChange(listener: () => void): () => void;
  stop(): void;
}
