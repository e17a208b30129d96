/** A proxy in the bench: how it is started in the node's namespace, and how captured traffic reaches it. */

export interface Site {
  /** A folder of this peer's own. */
  readonly dir: string;
  /** The host under test, its address, and PEM files: the roots of its certificate, and a CA for leaves with its key. */
  readonly host: string;
  readonly address: string;
  readonly upstreamRoots: string;
  readonly ca: {readonly certificate: string; readonly key: string};
  /** A ready leaf for the host, for proxies that do not mint. */
  readonly leaf: {readonly certificate: string; readonly key: string};
  readonly podIp: string;
  readonly podInterface: string;
  readonly cache: string;
}

export interface Peer {
  readonly name: string;
  /** null where it cannot run here, with the reason printed. */
  missing(site: Site): string | null;
  /** Writes its configuration and says what to start. */
  prepare(site: Site): Command;
}

export interface Command {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Captured connections are redirected to this port; null: it captures by itself. */
  readonly redirectTo: number | null;
  /** What is asked to know that it is up: a port that accepts, or an URL that answers 200. */
  readonly ready: {readonly port: number} | {readonly url: string};
}
