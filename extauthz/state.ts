/** Everything that may change while it runs. Given whole: a process is never between two states. */
import type {Document} from '../policy/index.ts';
import type {WorkloadEntry} from '../sources/workload-table.ts';
import type {TlsFiles} from '../runtime/tls-files.ts';

export interface State {
  readonly version: number;
  readonly documents: readonly Document[];
  readonly workloads: readonly WorkloadEntry[];
  /** The machine's own addresses now, as CIDRs, beside those of the installation. */
  readonly ownCidrs: readonly string[];
  readonly tls: TlsFiles | null;
}
