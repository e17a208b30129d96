/** What lives: client connections with their deadlines, and flows that a change of policy must reach. */
import {RECHECK_BATCH, type RelayLimits} from './limits.ts';
import {Usages, type Usage} from './usage.ts';

export interface LivingConnection {
  readonly workloadKey: string;
  readonly usage: Usage;
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

export class Live {
  readonly connections = new Set<LivingConnection>();
  readonly #flows = new Set<LivingFlow>();
  readonly usages: Usages;

  constructor(limits: RelayLimits) {
    this.usages = new Usages(limits);
  }

  /** The usage of its workload, with this connection. */
  open(connection: LivingConnection): Usage {
    this.connections.add(connection);
    const usage = this.usages.of(connection.workloadKey);
    this.usages.hold(usage, 'connections', 1);
    return usage;
  }

  closed(connection: LivingConnection): void {
    if (!this.connections.delete(connection)) return;
    this.usages.give(connection.usage, 'connections', 1);
  }

  begin(flow: LivingFlow): void {
    this.#flows.add(flow);
  }

  finished(flow: LivingFlow): void {
    this.#flows.delete(flow);
  }

  /** Connections whose deadline has passed are told; who has been away for long is forgotten. */
  sweep(now: number): void {
    this.usages.sweep(now);
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
