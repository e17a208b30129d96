/** What /readyz of the dataplane says. Pure. */
import type {MissingRef} from '../sources/refs.ts';
import type {Health} from './node-capture.ts';

export interface Readiness {
  readonly ready: boolean;
  readonly [detail: string]: unknown;
}

export interface Parts {
  readonly draining: boolean;
  readonly workers: {readonly wanted: number; readonly listening: number; readonly current: boolean};
  /** Policies and workloads have been told as a whole. */
  readonly known: boolean;
  readonly version: number;
  /** The source's own detail. */
  readonly source: Readonly<Record<string, object>>;
  readonly missingRefs: readonly MissingRef[];
  /** Why no certificate can be made, and what is waited for; null: they can. */
  readonly caTrouble: string | null;
  /** null with `--capture none`. */
  readonly capture: Health | null;
}

/** A failed reload, or an API server that is away, shows; but what is in force still guards: it stays ready. */
export function readinessOf({
  draining,
  workers,
  known,
  version,
  source,
  missingRefs,
  caTrouble,
  capture,
}: Parts): Readiness {
  return {
    ready: !draining && workers.listening > 0 && known && caTrouble === null && capture?.started !== false,
    draining,
    workers,
    ...source,
    policies: {version, ...source['policies']},
    missingRefs,
    ca: caTrouble ?? 'ok',
    capture: capture ?? 'none',
  };
}
