/** Who the peers of pods that speak mTLS are, whoever tells it: a file (here), the API server (cluster/peers.ts), the issuer (told-peers.ts). */
import {SallyportError} from '../runtime/errors.ts';
import type {Journal} from '../runtime/journal.ts';
import {watchPaths} from '../runtime/watch.ts';
import type {ServiceTable} from './service-table.ts';
import {readWorkloads, type WorkloadEntry} from './workload-table.ts';

export interface Peers {
  /** null: nothing is known yet. Never null again once it was not. */
  readonly known: readonly WorkloadEntry[] | null;
  /** Where Services lead; empty where nobody tells. */
  readonly services: ServiceTable;
  close(): void;
}

/** `--mtls-peers FILE`, watched; a bad one changes nothing. Resolves when changes are seen; throws SallyportError where it is bad now. */
export async function watchPeersFile(file: string, journal: Journal, changed: () => void): Promise<Peers> {
  let known = readWorkloads(file);
  const watch = watchPaths([file], () => {
    try {
      known = readWorkloads(file);
      changed();
    } catch (error) {
      const message = error instanceof SallyportError ? error.describe() : String(error);
      journal.notice('error', 'mtls.peers', `${message} The former table stays in force.`);
    }
  });
  await watch.ready;
  return {
    get known() {
      return known;
    },
    services: new Map(),
    close: () => watch.close(),
  };
}
