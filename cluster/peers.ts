/** Who the peers of a node's pods are, as the API server has it: the pods of every node, and where Services lead. */
import type {KubeConfig} from '@kubernetes/client-node';
import type {Journal} from '../runtime/journal.ts';
import {Settle} from '../runtime/settle.ts';
import type {Peers} from '../sources/peers.ts';
import {serviceTable, type ServiceTable} from '../sources/service-table.ts';
import type {WorkloadEntry} from '../sources/workload-table.ts';
import {watchServices} from './services.ts';
import {watchWorkloads} from './workloads.ts';

/** Who is not known yet is refused, or taken for nobody. */
const PODS_SETTLE_MS = 20;
/** All of them are read anew. */
const SERVICES_SETTLE_MS = 500;

/** Starts at once. `changed`: what is known may be other than it was. */
export function watchPeers(config: KubeConfig, journal: Journal, changed: () => void): Peers {
  let pods: readonly WorkloadEntry[] | null = null;
  let table: ServiceTable | null = null;
  const isKnown = (): boolean => pods !== null && table !== null;
  const told = (): void => {
    if (isKnown()) changed();
  };
  const settled = new Settle(PODS_SETTLE_MS, told);
  const settledServices = new Settle(SERVICES_SETTLE_MS, () => {
    const list = services.list();
    if (list === null) return;
    table = serviceTable(list);
    told();
  });
  /** What the API server does not tell at the moment, and why. */
  const away = new Map<string, string>();
  const health = {
    onTrouble(message: string, retryMs: number, kind: string) {
      if (away.get(kind) === message) return;
      away.set(kind, message);
      const meanwhile = isKnown() ? 'the last table stays in force' : 'until then nothing is let in or out';
      journal.notice(
        'error',
        'mtls.peers',
        `who the peers are is not told: the API server does not tell ${kind}: ${message}; asked again in ${Math.round(retryMs)} ms and so on; ${meanwhile}`,
      );
    },
    onWell(kind: string) {
      if (away.delete(kind) && away.size === 0) journal.notice('info', 'mtls.peers', 'who the peers are is told again');
    },
  };
  const workloads = watchWorkloads({
    ...{config, node: null, ...health},
    onChange(entries) {
      pods = entries;
      settled.ask();
    },
  });
  const services = watchServices({config, ...health, onChange: () => settledServices.ask()});
  return {
    get known() {
      return isKnown() ? pods : null;
    },
    get services() {
      return table ?? new Map<string, never>();
    },
    close() {
      for (const one of [settled, settledServices, workloads, services]) one.stop();
    },
  };
}
