/** Who the peers of a node's pods are, as the API server has it: the pods of every node, and where Services lead. */
import type {KubeConfig} from '@kubernetes/client-node';
import type {Journal} from '../runtime/journal.ts';
import type {Peers} from '../sources/peers.ts';
import {serviceTable, type ServiceAddresses, type ServiceTable} from '../sources/service-table.ts';
import type {WorkloadEntry} from '../sources/workload-table.ts';
import {watchServices} from './services.ts';
import {watchWorkloads} from './workloads.ts';

/** Pods: what is not known yet is refused, or taken for nobody's. The first of a burst is told at once. */
const PODS_SETTLE_MS = 20;
/** Endpoints: kube-proxy does not follow faster than once a second either, and each state is told to workers as a whole. */
const SERVICES_SETTLE_MS = 500;

/** Starts at once. `changed`: what is known is other than it was. */
export function watchPeers(config: KubeConfig, journal: Journal, changed: () => void): Peers {
  return new ClusterPeers(config, journal, changed);
}

class ClusterPeers implements Peers {
  readonly #journal: Journal;
  readonly #changed: () => void;
  readonly #closing: (() => void)[];
  #pods: readonly WorkloadEntry[] | null = null;
  /** null: not known yet. */
  #table: ServiceTable | null = null;
  /** What #table was made of. */
  #text = '';
  #podsSettle: NodeJS.Timeout | null = null;
  #podsSettledAt = -PODS_SETTLE_MS;
  #servicesSettle: NodeJS.Timeout | null = null;
  /** What the API server does not tell at the moment, and why. */
  readonly #away = new Map<string, string>();

  constructor(config: KubeConfig, journal: Journal, changed: () => void) {
    this.#journal = journal;
    this.#changed = changed;
    const health = {
      onTrouble: (message: string, retryMs: number, kind: string) => this.#troubled(kind, message, retryMs),
      onWell: (kind: string) => void this.#away.delete(kind),
    };
    const pods = watchWorkloads({...{config, node: null, ...health}, onChange: (entries) => this.#settlePods(entries)});
    const services = watchServices({
      ...{config, ...health},
      onChange: () => {
        this.#servicesSettle ??= setTimeout(
          () => {
            this.#servicesSettle = null;
            this.#takeServices(services.list());
          },
          this.#table === null ? 0 : SERVICES_SETTLE_MS,
        );
      },
    });
    this.#closing = [() => pods.stop(), () => services.stop()];
  }

  get known(): readonly WorkloadEntry[] | null {
    return this.#table === null ? null : this.#pods;
  }

  get services(): ServiceTable {
    return this.#table ?? new Map<string, never>();
  }

  close(): void {
    for (const timer of [this.#podsSettle, this.#servicesSettle]) if (timer !== null) clearTimeout(timer);
    for (const one of this.#closing) one();
  }

  #settlePods(entries: readonly WorkloadEntry[]): void {
    this.#pods = entries;
    this.#podsSettle ??= setTimeout(
      () => {
        this.#podsSettle = null;
        this.#podsSettledAt = performance.now();
        this.#tell();
      },
      Math.max(0, PODS_SETTLE_MS - (performance.now() - this.#podsSettledAt)),
    );
  }

  #takeServices(list: readonly ServiceAddresses[] | null): void {
    if (list === null) return;
    const text = JSON.stringify(list);
    // Slices are written again and again with nothing new in them.
    if (text === this.#text) return;
    this.#text = text;
    this.#table = serviceTable(list);
    this.#tell();
  }

  #tell(): void {
    if (this.known !== null) this.#changed();
  }

  #troubled(kind: string, message: string, retryMs: number): void {
    if (this.#away.get(kind) === message) return;
    this.#away.set(kind, message);
    const meanwhile = this.known === null ? 'until then nothing is let in or out' : 'the last table stays in force';
    this.#journal.notice(
      'error',
      'mtls.peers',
      `who the peers are is not told: the API server does not tell ${kind}: ${message}; asked again in ${Math.round(retryMs)} ms and so on; ${meanwhile}`,
    );
  }
}
