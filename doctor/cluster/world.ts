/** What the cluster's checks are given. */
import type {Api} from './api.ts';

export interface ClusterWorld {
  readonly api: Api;
  /** Where Sallyport is installed. */
  readonly namespace: string;
  /** Where the dry-run pods would be. */
  readonly probeNamespace: string;
  readonly now: () => number;
}
