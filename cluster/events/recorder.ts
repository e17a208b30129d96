/** Writes denials as Kubernetes Events on their pods. Traffic never waits for it; what cannot be written is counted. */
import {
  EventsV1Api,
  PatchStrategy,
  setHeaderOptions,
  type ConfigurationOptions,
  type KubeConfig,
} from '@kubernetes/client-node';
import type {DenialCount} from '../../runtime/denials.ts';
import {eventName, eventOf, seriesOf, type Reporter} from './event.ts';
import {EventSeriesTable, type EventWrite} from './series.ts';

export interface EventRecorderOptions {
  readonly config: KubeConfig;
  readonly reporter: Reporter;
  /** For the metric: what became of events, and (`suppressed`) of denials that no event tells of. */
  readonly onResult: (result: 'created' | 'updated' | 'failed' | 'suppressed', count: number) => void;
  /** The API server refuses them, or is away; said once until it is well again. */
  readonly onTrouble: (message: string) => void;
}

export interface EventRecorder {
  record(denials: readonly DenialCount[]): void;
  /** Writes nothing more. */
  stop(): void;
}

/** The first event of a kind comes within this time; denials come in bursts. */
const LOOK_MS = 1_000;
const MERGE: ConfigurationOptions = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);

export function startEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new Recorder(options);
}

class Recorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #api: EventsV1Api;
  readonly #table = new EventSeriesTable();
  readonly #clock: NodeJS.Timeout;
  #writing = false;
  #troubled = false;
  #stopped = false;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#api = options.config.makeApiClient(EventsV1Api);
    this.#clock = setInterval(() => void this.#look(), LOOK_MS);
    this.#clock.unref();
  }

  record(denials: readonly DenialCount[]): void {
    this.#table.add(denials, performance.now());
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#clock);
  }

  /** One after the other: the API server is everybody's. */
  async #look(): Promise<void> {
    const suppressed = this.#table.takeSuppressed();
    if (suppressed > 0) this.#options.onResult('suppressed', suppressed);
    if (this.#writing) return;
    this.#writing = true;
    for (const write of this.#table.due(performance.now())) {
      if (this.#stopped) break;
      const how = await this.#write(write);
      this.#table.settled(write, how, performance.now());
    }
    this.#writing = false;
  }

  async #write(write: EventWrite): Promise<'written' | 'failed' | 'gone'> {
    const {denial, unique, count, create, firstAtMs, lastAtMs} = write;
    const {namespace} = denial.pod;
    const name = eventName(denial, unique);
    try {
      if (create) {
        const body = eventOf(denial, this.#options.reporter, name, timeOf(firstAtMs), count);
        await this.#api.createNamespacedEvent({namespace, body});
      } else {
        const body = {series: seriesOf({count, lastAt: timeOf(lastAtMs)})};
        await this.#api.patchNamespacedEvent({namespace, name, body}, MERGE);
      }
      this.#troubled = false;
      this.#options.onResult(create ? 'created' : 'updated', 1);
      return 'written';
    } catch (error) {
      const code = (error as {code?: unknown}).code;
      // An answer that was lost on the way: it is there.
      if (create && code === 409) return 'written';
      // It ran out (events live an hour), or its namespace is gone or going.
      if (code === 404 || (code === 403 && messageOf(error).includes('being terminated'))) return 'gone';
      this.#options.onResult('failed', 1);
      if (!this.#troubled && !this.#stopped) this.#options.onTrouble(messageOf(error));
      this.#troubled = true;
      return 'failed';
    }
  }
}

/** A point of the monotonic clock as a date. */
const timeOf = (atMs: number): Date => new Date(Date.now() - (performance.now() - atMs));

const messageOf = (error: unknown): string =>
  String((error as Error).message)
    .slice(0, 300)
    .replaceAll('\n', ' ');
