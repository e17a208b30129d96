/** Everything that may change while it runs. Given whole: a process is never between two states. */
import type {Known} from '../sources/knowledge.ts';
import type {TlsFiles} from '../runtime/tls-files.ts';

export interface State {
  readonly version: number;
  /** Policies and workloads; null: not whole yet (a cluster that has not answered), and every Check is refused. */
  readonly known: Known | null;
  /** The machine's own addresses now, as CIDRs, beside those of the installation. */
  readonly ownCidrs: readonly string[];
  readonly tls: TlsFiles | null;
  /** What UpstreamProxies want to be shown; one that wants some which cannot be read is not among them. */
  readonly credentials: readonly ParentCredentials[];
}

export interface ParentCredentials {
  readonly proxy: string;
  /** The value of Proxy-Authorization; null: it wants none. */
  readonly authorization: string | null;
}
