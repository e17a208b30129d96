/** What lives: client connections with their deadlines, and flows that a change of policy must reach. */
import {RECHECK_BATCH} from './limits.ts';

/** What one workload holds of us at the moment. */
export interface Usage {
  connections: number;
  requests: number;
  lookups: number;
  /** Promised by bodies that are held until they are whole. */
  heldBytes: number;
  /** Leaves minted lately; leaks away with time. */
  mints: number;
  mintsAt: number;
}

export interface LivingConnection {
  readonly workloadKey: string;
  /** When `expire` is due by the relay's clock; 0: never. */
  deadlineAt: number;
  expire(): void;
  /** Cut it, whatever it is doing. */
  destroy(): void;
  /** No further requests: closed when it is idle. */
  drain(): void;
  /** Its workload may be gone or another. */
  workloadChanged(): void;
}

export interface LivingFlow {
  /** The policies are others: decide again, and end if now denied. */
  recheck(): void;
}

/** Longer than the limits' mintBurst takes to leak away. */
const FORGIVEN_MS = 60_000;

export class Live {
  readonly connections = new Set<LivingConnection>();
  readonly #flows = new Set<LivingFlow>();
  readonly #usages = new Map<string, Usage>();

  /** The usage of a workload; kept while it has connections, or minted lately (opening anew must not forgive). */
  open(connection: LivingConnection): Usage {
    this.connections.add(connection);
    let usage = this.#usages.get(connection.workloadKey);
    if (usage === undefined) {
      usage = {connections: 0, requests: 0, lookups: 0, heldBytes: 0, mints: 0, mintsAt: 0};
      this.#usages.set(connection.workloadKey, usage);
    }
    usage.connections++;
    return usage;
  }

  closed(connection: LivingConnection): void {
    if (!this.connections.delete(connection)) return;
    const usage = this.#usages.get(connection.workloadKey);
    if (usage !== undefined && --usage.connections === 0 && usage.mints === 0)
      this.#usages.delete(connection.workloadKey);
  }

  begin(flow: LivingFlow): void {
    this.#flows.add(flow);
  }

  finished(flow: LivingFlow): void {
    this.#flows.delete(flow);
  }

  /** Whether one more leaf may be minted for this workload now; counts it. */
  mayMint(usage: Usage, now: number, burst: number, perSecond: number): boolean {
    usage.mints = Math.max(0, usage.mints - ((now - usage.mintsAt) / 1000) * perSecond);
    usage.mintsAt = now;
    if (usage.mints + 1 > burst) return false;
    usage.mints++;
    return true;
  }

  /** Connections whose deadline has passed are told; who has been away for long is forgotten. */
  sweep(now: number): void {
    for (const [key, usage] of this.#usages) {
      if (usage.connections === 0 && now - usage.mintsAt > FORGIVEN_MS) this.#usages.delete(key);
    }
    for (const connection of this.connections) {
      if (connection.deadlineAt !== 0 && connection.deadlineAt <= now) {
        connection.deadlineAt = 0;
        connection.expire();
      }
    }
  }

  /** Every living flow is decided again, some at a time so that traffic goes on meanwhile. */
  recheck(): void {
    const flows = [...this.#flows];
    const some = (from: number): void => {
      const to = Math.min(from + RECHECK_BATCH, flows.length);
      for (let i = from; i < to; i++) {
        const flow = flows[i]!;
        if (this.#flows.has(flow)) flow.recheck();
      }
      if (to < flows.length) setImmediate(some, to);
    };
    some(0);
  }
}
