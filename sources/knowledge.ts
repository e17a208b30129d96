/** What an enforcement point knows of policies and workloads, whoever tells it: files, or a cluster. */
import type {Document, NotLoaded} from '../policy/index.ts';
import type {WorkloadEntry} from './workload-table.ts';

export interface Known {
  /** In force: the good ones, and the good predecessors of bad ones. */
  readonly documents: readonly Document[];
  /** Where the bad ones without a good predecessor are: what they may select is refused. */
  readonly notLoaded: NotLoaded;
  readonly workloads: readonly WorkloadEntry[];
}

export interface KnowledgeSource {
  /** As of now, whole; null: not whole yet, and so everything is refused. Never null again once it was not. */
  readonly known: Known | null;
  /** Tells of each change from now on; what changed since the source was made too. Resolves when it watches. */
  watch(changed: () => void): Promise<void>;
  /** The detail of /readyz. */
  describe(): Readonly<Record<string, object>>;
  close(): void;
}
