/** Writes what this node enforces into its EgressNode: when it changes, and as a sign of life where it does not. */
import {
  CustomObjectsApi,
  PatchStrategy,
  setHeaderOptions,
  type ConfigurationOptions,
  type KubeConfig,
} from '@kubernetes/client-node';
import {isDeepStrictEqual} from 'node:util';
import {HEARTBEAT_MS, statusOf, type NodeReport} from './report.ts';

export interface NodeReportOptions {
  readonly config: KubeConfig;
  /** The node's name, which is the report's. */
  readonly node: string;
  /** As of now; null: things are on their way (workers take a state over), and it is asked for again in a moment. */
  readonly look: () => NodeReport | null;
  readonly onWritten?: (report: NodeReport) => void;
  /** It could not be written; it is tried again in `retryMs`. */
  readonly onTrouble: (message: string, retryMs: number) => void;
  readonly timing?: NodeReportTiming;
}

export interface NodeReportTiming {
  /** Changes of this time are written as one. */
  readonly settleMs: number;
  /** When what is on its way is looked at again. */
  readonly againMs: number;
  readonly heartbeatMs: number;
  /** How often it is looked at what nobody says has changed: whether we are ready. */
  readonly lookMs: number;
}

export interface NodeReporter {
  /** Something of what `look` tells may have changed. Cheap; call it as often as you like. */
  changed(): void;
  /**
   * Nothing more is written, and what is written stays: the successor may have written already, and pods stay locked
   * while nobody is there.
   */
  stop(): void;
}

const TIMING: NodeReportTiming = {settleMs: 500, againMs: 250, heartbeatMs: HEARTBEAT_MS, lookMs: 5_000};
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 30_000;
/** All agents of a cluster are started within seconds; their signs of life are not to come all at once for ever. */
const HEARTBEAT_SPREAD = 0.2;

const GROUP = {group: 'sallyport.dev', version: 'v1alpha1', plural: 'egressnodes'} as const;
const APPLY: ConfigurationOptions = setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply);

/** Starts at once; the object is made where it is not there. */
export function startNodeReport(options: NodeReportOptions): NodeReporter {
  return new Reporter(options);
}

class Reporter implements NodeReporter {
  readonly #options: NodeReportOptions;
  readonly #timing: NodeReportTiming;
  readonly #api: CustomObjectsApi;
  /** `againMs`: when it is written again though nothing has changed. */
  #written: {readonly report: NodeReport; readonly againMs: number} | null = null;
  /** Since when it is as ready as it is. */
  #since: {readonly ready: boolean; readonly at: string} | null = null;
  #timer: NodeJS.Timeout | null = null;
  #dueMs = Infinity;
  #writing = false;
  #retryMs = FIRST_RETRY_MS;
  #failing = false;
  #stopped = false;

  constructor(options: NodeReportOptions) {
    this.#options = options;
    this.#timing = options.timing ?? TIMING;
    this.#api = options.config.makeApiClient(CustomObjectsApi);
    this.changed();
  }

  changed(): void {
    // While it cannot be written, changes are no reason to try more often.
    if (!this.#failing) this.#wake(this.#timing.settleMs);
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** Looks again in so many milliseconds, or when it would have anyway. */
  #wake(inMs: number): void {
    const dueMs = performance.now() + inMs;
    if (this.#stopped || dueMs >= this.#dueMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => void this.#run(), inMs);
  }

  async #run(): Promise<void> {
    this.#timer = null;
    this.#dueMs = Infinity;
    if (this.#writing) return this.#wake(this.#timing.settleMs);
    const report = this.#options.look();
    if (report === null) return this.#wake(this.#timing.againMs);
    const before = this.#written;
    const leftMs = before === null ? 0 : before.againMs - performance.now();
    if (before !== null && leftMs > 0 && isDeepStrictEqual(before.report, report))
      return this.#wake(Math.min(leftMs, this.#timing.lookMs));
    this.#writing = true;
    try {
      await this.#write(report);
      const heartbeatMs = this.#timing.heartbeatMs * (1 - HEARTBEAT_SPREAD * Math.random());
      this.#written = {report, againMs: performance.now() + heartbeatMs};
      this.#failing = false;
      this.#retryMs = FIRST_RETRY_MS;
      this.#options.onWritten?.(report);
      this.#wake(Math.min(heartbeatMs, this.#timing.lookMs));
    } catch (error) {
      if (!this.#stopped) this.#options.onTrouble(messageOf(error), this.#retryMs);
      this.#failing = true;
      this.#wake(this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
    } finally {
      this.#writing = false;
    }
  }

  async #write(report: NodeReport): Promise<void> {
    const {node: name} = this.#options;
    const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const {ready} = report;
    if (this.#since?.ready !== ready) this.#since = {ready, at: now};
    const head = {apiVersion: 'sallyport.dev/v1alpha1', kind: 'EgressNode', metadata: {name}};
    const body = {...head, status: {...statusOf(report), lastTransitionTime: this.#since.at, heartbeatTime: now}};
    const apply = {...GROUP, name, fieldManager: 'sallyport-tproxy', force: true};
    try {
      await this.#api.patchClusterCustomObjectStatus({...apply, body}, APPLY);
    } catch (error) {
      // Never written before, or taken away by somebody: a status has to belong to something.
      if ((error as {code?: unknown}).code !== 404) throw error;
      await this.#api.patchClusterCustomObject({...apply, body: head}, APPLY);
      await this.#api.patchClusterCustomObjectStatus({...apply, body}, APPLY);
    }
  }
}

const messageOf = (error: unknown): string =>
  String((error as Error).message)
    .split('\n')[0]!
    .slice(0, 200);
