/**
 * Leader election by a Lease (coordination.k8s.io/v1), as client-go does it: who holds the lease renews it; who finds one
 * that nobody has renewed for its duration, by his own clock, takes it. An update of an older version is refused by the API
 * server, so that of two who take it at once one does not.
 */
import {CoordinationV1Api, V1MicroTime, type KubeConfig, type V1Lease} from '@kubernetes/client-node';
import {pause} from '../runtime/pause.ts';

export interface LeaseOptions {
  readonly config: KubeConfig;
  readonly namespace: string;
  readonly name: string;
  /** Unique among the candidates: the pod's name. */
  readonly identity: string;
  /** Leads until the signal is aborted, when the lease was lost or given back. */
  readonly onLeading: (signal: AbortSignal) => void;
  readonly onTrouble: (message: string) => void;
  readonly timing?: LeaseTiming;
}

export interface LeaseTiming {
  /** How long others wait for a renewal. */
  readonly durationMs: number;
  /** Who has not renewed for this long stops leading: before others may begin. */
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
}

/** client-go's defaults. */
const TIMING: LeaseTiming = {durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000};

/** Stands for election until stopped. `stop` gives the lease back, so that the next leader need not wait. */
export function standForLease(options: LeaseOptions): {stop(): Promise<void>} {
  const candidate = new Candidate(options);
  const running = candidate.run();
  return {
    stop: async () => {
      candidate.stop();
      await running;
    },
  };
}

class Candidate {
  readonly #options: LeaseOptions;
  readonly #timing: LeaseTiming;
  readonly #api: CoordinationV1Api;
  readonly #stopped = new AbortController();
  /** The lease as it was last seen to change, and when, by our clock. */
  #seen: {readonly version: string; readonly atMs: number} | null = null;
  #leading: AbortController | null = null;
  #renewedAtMs = 0;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#timing = options.timing ?? TIMING;
    this.#api = options.config.makeApiClient(CoordinationV1Api);
  }

  stop(): void {
    this.#stopped.abort();
  }

  async run(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const askedAtMs = performance.now();
      try {
        if (await this.#tryToHold()) {
          this.#renewedAtMs = askedAtMs;
          if (this.#leading === null) {
            this.#leading = new AbortController();
            this.#options.onLeading(this.#leading.signal);
          }
        } else this.#lose();
      } catch (error) {
        this.#options.onTrouble(
          String((error as Error).message)
            .split('\n')[0]!
            .slice(0, 200),
        );
      }
      if (performance.now() - this.#renewedAtMs > this.#timing.renewDeadlineMs) this.#lose();
      await pause(this.#timing.retryMs, this.#stopped.signal);
    }
    const led = this.#leading !== null;
    this.#lose();
    if (led) await this.#giveBack();
  }

  #lose(): void {
    this.#leading?.abort();
    this.#leading = null;
  }

  async #tryToHold(): Promise<boolean> {
    const {namespace, name, identity} = this.#options;
    let lease: V1Lease;
    try {
      lease = await this.#api.readNamespacedLease({namespace, name});
    } catch (error) {
      if (codeOf(error) !== 404) throw error;
      return this.#write(() =>
        this.#api.createNamespacedLease({namespace, body: {metadata: {name}, spec: this.#spec(identity, 0)}}),
      );
    }
    const version = lease.metadata?.resourceVersion ?? '';
    const nowMs = performance.now();
    if (this.#seen?.version !== version) this.#seen = {version, atMs: nowMs};
    const holder = lease.spec?.holderIdentity ?? '';
    const durationMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1_000;
    if (holder !== '' && holder !== identity && nowMs - this.#seen.atMs < durationMs) return false;
    const transitions = (lease.spec?.leaseTransitions ?? 0) + (holder === identity ? 0 : 1);
    const body = {...lease, spec: this.#spec(identity, transitions)};
    return this.#write(() => this.#api.replaceNamespacedLease({namespace, name, body}));
  }

  /** False where somebody was quicker. */
  async #write(write: () => Promise<V1Lease>): Promise<boolean> {
    try {
      const written = await write();
      this.#seen = {version: written.metadata?.resourceVersion ?? '', atMs: performance.now()};
      return true;
    } catch (error) {
      if (codeOf(error) === 409) return false;
      throw error;
    }
  }

  #spec(holderIdentity: string, leaseTransitions: number): NonNullable<V1Lease['spec']> {
    const now = new V1MicroTime();
    const leaseDurationSeconds = Math.ceil(this.#timing.durationMs / 1_000);
    return {holderIdentity, leaseTransitions, leaseDurationSeconds, renewTime: now, acquireTime: now};
  }

  async #giveBack(): Promise<void> {
    const {namespace, name, identity} = this.#options;
    try {
      const lease = await this.#api.readNamespacedLease({namespace, name});
      if (lease.spec?.holderIdentity !== identity) return;
      const body = {...lease, spec: {...lease.spec, holderIdentity: '', leaseDurationSeconds: 1}};
      await this.#api.replaceNamespacedLease({namespace, name, body});
    } catch (error) {
      this.#options.onTrouble(`the lease could not be given back: ${(error as Error).message}`);
    }
  }
}

const codeOf = (error: unknown): unknown => (error as {code?: unknown}).code;
