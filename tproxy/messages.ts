/** What the supervisor and its workers say to each other, over the fork's channel (structured clone). */
import type {Document} from '../policy/index.ts';
import type {ParentProxy} from '../sources/refs.ts';
import type {TproxyConfig} from './settings.ts';
import type {WorkloadEntry} from '../sources/workload-table.ts';

/** Everything that may change while it runs. Sent whole: a worker is never between two states. */
export interface State {
  readonly version: number;
  readonly documents: readonly Document[];
  readonly workloads: readonly WorkloadEntry[];
  readonly parents: readonly ParentProxy[];
  /** The node's own addresses now, as CIDRs, beside those of the installation: a node gets some while we run. */
  readonly ownCidrs: readonly string[];
}

export type ToWorker =
  | {readonly kind: 'start'; readonly config: TproxyConfig; readonly state: State}
  | {readonly kind: 'state'; readonly state: State}
  | {readonly kind: 'metrics'; readonly question: number}
  /** Does your event loop still turn? Answered at once. */
  | {readonly kind: 'ping'}
  /** Finish what runs within the deadline, accept nothing more, exit. */
  | {readonly kind: 'drain'; readonly deadlineMs: number};

export type ToSupervisor =
  | {readonly kind: 'listening'}
  /** It could not start (a port in use, a missing capability): the message for the operator. Then it exits. */
  | {readonly kind: 'failed'; readonly message: string}
  | {readonly kind: 'applied'; readonly version: number}
  | {readonly kind: 'pong'}
  | {readonly kind: 'metrics'; readonly question: number; readonly metrics: object};
