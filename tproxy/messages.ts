/** What the supervisor and its workers say to each other, over the fork's channel (structured clone). */
import type {ParentProxy} from '../sources/refs.ts';
import type {ToWorker as Generic} from '../runtime/worker-messages.ts';
import type {TproxyConfig} from './settings.ts';
import type {MtlsState} from './mtls/node.ts';
import type {Known} from '../sources/knowledge.ts';

/** Everything that may change while it runs. Sent whole: a worker is never between two states. */
export interface State {
  readonly version: number;
  /** Policies and workloads; null: not whole yet (a cluster that has not answered), and everything is refused. */
  readonly known: Known | null;
  readonly parents: readonly ParentProxy[];
  /** The node's own addresses now, as CIDRs, beside those of the installation: a node gets some while we run. */
  readonly ownCidrs: readonly string[];
  /** null: without --mtls. */
  readonly mtls: MtlsState | null;
}

export type ToWorker = Generic<TproxyConfig, State>;
export type {ToSupervisor} from '../runtime/worker-messages.ts';
