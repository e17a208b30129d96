/** Tells pods that speak mTLS by themselves who their peers are: each the whole at first, then what changes. */
import type {KubeConfig} from '@kubernetes/client-node';
import {LABELS} from '../../../runtime/names.ts';
import type {WorkloadEntry} from '../../../sources/workload-table.ts';
import {watchServices, type Services} from '../../services.ts';
import {watchWorkloads, type Workloads} from '../../workloads.ts';
import type {KnowAsker, NotHeard} from './asker.ts';
import {Rates, RATES} from './limits.ts';
import {PodListeners, type Listener} from './pod-listeners.ts';
import {changeOf, podRows, serviceRows, textsOf, wholeOf, type RowTexts} from './peer-rows.ts';

export type Heard =
  {readonly kind: 'heard'; readonly listen: (to: Listener) => () => void} | NotHeard | {readonly kind: 'not-yet'};

export interface PeerFeed {
  /** `listen` begins with the whole table, and answers how to stop. */
  hear(token: string, address: string): Promise<Heard>;
  stop(): void;
}

/** A rollout changes many rows; a peer that is told half a second later is refused that long. */
const SETTLE_MS = 500;
/** An empty line, by which the other side knows that we are there. */
const ALIVE_MS = 15_000;
/** Who cannot take what is told (10,000 rows are 2 MB) begins anew. */
const MAX_WAITING_BYTES = 16_777_216;

export interface PeerFeedOptions {
  readonly config: KubeConfig;
  readonly know: KnowAsker;
  readonly onTrouble: (message: string) => void;
}

/** Nothing is watched before somebody asks: most installations have no such pods. */
export function createPeerFeed(options: PeerFeedOptions): PeerFeed {
  return new Feed(options);
}

class Feed implements PeerFeed {
  readonly #options: PeerFeedOptions;
  readonly #rates = new Rates(RATES.pod);
  readonly #listeners = new PodListeners();
  #pods: Workloads | null = null;
  #services: Services | null = null;
  #entries: readonly WorkloadEntry[] | null = null;
  /** null: not known as a whole yet. */
  #rows: RowTexts | null = null;
  #settling: NodeJS.Timeout | null = null;
  #alive: NodeJS.Timeout | null = null;

  constructor(options: PeerFeedOptions) {
    this.#options = options;
  }

  async hear(token: string, address: string): Promise<Heard> {
    const known = await this.#options.know(token, address);
    if (known.kind === 'refused') return known;
    const {username, pod} = known.caller;
    if (!this.#rates.take(`${username} ${pod.uid}`, performance.now()))
      return {kind: 'refused', code: 'TooMany', message: `too many questions of ${username}.`};
    this.#start();
    if (this.#rows === null) return {kind: 'not-yet'};
    const asks = this.#entries?.find(({workload}) => workload.uid === pod.uid);
    // Nobody else has a use for it.
    if (asks?.workload.labels?.[LABELS.capture] !== 'pod')
      return {kind: 'refused', code: 'NoSuchPod', message: 'who its peers are is told to a pod that captures itself.'};
    return {kind: 'heard', listen: (to) => this.#listen(pod.uid, to)};
  }

  stop(): void {
    if (this.#settling !== null) clearTimeout(this.#settling);
    if (this.#alive !== null) clearInterval(this.#alive);
    this.#pods?.stop();
    this.#services?.stop();
    for (const listener of this.#listeners.all()) listener.end();
  }

  #listen(podUid: string, to: Listener): () => void {
    to.write(wholeOf(this.#rows!));
    return this.#listeners.add(podUid, to);
  }

  #start(): void {
    if (this.#pods !== null) return;
    const {config, onTrouble} = this.#options;
    this.#services = watchServices({config, onChange: () => this.#settle(), onTrouble});
    this.#pods = watchWorkloads({
      ...{config, node: null, onTrouble},
      onChange: (entries) => {
        this.#entries = entries;
        this.#settle();
      },
    });
    this.#alive = setInterval(() => this.#tell('\n'), ALIVE_MS);
    this.#alive.unref();
  }

  #settle(): void {
    this.#settling ??= setTimeout(
      () => {
        this.#settling = null;
        const services = this.#services!.list();
        if (this.#entries === null || services === null) return;
        const before = this.#rows;
        this.#rows = textsOf([...podRows(this.#entries), ...serviceRows(services)]);
        const change = before === null ? null : changeOf(before, this.#rows);
        if (change !== null) this.#tell(change);
      },
      this.#rows === null ? 0 : SETTLE_MS,
    );
  }

  #tell(line: string): void {
    for (const listener of this.#listeners.all())
      if (listener.waitingBytes > MAX_WAITING_BYTES) listener.end();
      else listener.write(line);
  }
}
