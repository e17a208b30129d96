/** An ext_authz service in the bench: how it is started on a loopback port so that it allows the request of the bench. */

export interface CheckSite {
  /** A folder of this peer's own. */
  readonly dir: string;
  /** The Host of the request, and where it is said to go. */
  readonly host: string;
  readonly address: string;
  /** Who asks. */
  readonly source: string;
  /** The gRPC port; the next one is the peer's too. */
  readonly port: number;
  /** Who tells addresses of names: `127.0.0.1:PORT`. */
  readonly resolver: string;
}

export interface CheckPeer {
  readonly name: string;
  /** null where it cannot run here, with the reason printed. */
  missing(): string | null;
  /** Writes its configuration and says what to start. */
  prepare(site: CheckSite): readonly string[];
}
