/**
 * Script filters (POLICY.md): operator-owned modules run on allowed requests and their responses, in a process of their own
 * that is ended when it overruns, and replaced when a file changes. Whatever goes wrong fails the call, and a failed call is
 * a denial: no filter is ever skipped.
 */
import {readdirSync, realpathSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {SallyportError} from '../runtime/errors.ts';
import {watchPaths} from '../runtime/watch.ts';
import {confinementGap, findConfinement} from './confine.ts';
import type {Confinement} from './confine.ts';
import type {FilterVerdict, Filters} from './contract.ts';
import {filterFiles} from './files.ts';
import {FilterProcess, HOST} from './process.ts';
import type {Call} from './process.ts';

/** What one call may take: it is added to the latency of a request, so an author should feel it. */
export const DEFAULT_FILTER_TIMEOUT_MS = 250;
/**
 * A call waits this long for a process that is being replaced (start and load take 50-300 ms): a slow answer is better than a
 * denial, and a denial better than a request that hangs.
 */
const WAIT_FOR_PROCESS_MS = 2_000;
/** Calls that wait so; beyond them they fail at once. */
const MAX_WAITING = 10_000;
/** The first restart is at once; then it waits, doubling, so that a filter that always crashes costs little. */
const FIRST_RESTART_DELAY_MS = 100;
const MAX_RESTART_DELAY_MS = 10_000;
/** A process that lived this long was sound: the next restart is at once again. */
const SOUND_AFTER_MS = 30_000;

export interface FilterOptions {
  readonly dir: string;
  /** Per call, all filters of a phase together. */
  readonly timeoutMs?: number;
  readonly onNotice: (level: 'info' | 'warn' | 'error', event: string, message: string) => void;
}

export interface RunningFilters extends Filters {
  /** Loaded for the first time. Rejects with FilterNotLoaded (file:line) or FiltersUnreadable, and everything is ended then. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

interface Waiting {
  readonly call: Call;
  readonly timer: NodeJS.Timeout;
}

class FilterSet implements RunningFilters {
  readonly ready: Promise<void>;
  readonly #options: Required<FilterOptions>;
  #dir = '';
  #confinement: Confinement | null = null;
  /** Takes the calls; null: none is running, or there are no filters. */
  #current: FilterProcess | null = null;
  #starting: FilterProcess | null = null;
  #draining = new Set<FilterProcess>();
  /** Known from the last load, so that calls are asked for while a process is being replaced. */
  #hasRequest = true;
  #hasResponse = true;
  #empty = false;
  /** For messages; known from the last load. */
  #names = '';
  #waiting: Waiting[] = [];
  #watch: {close(): void} | null = null;
  #restart: NodeJS.Timeout | null = null;
  #restartDelayMs = 0;
  #startedMs = 0;
  #again = false;
  #closed = false;

  constructor(options: FilterOptions) {
    this.#options = {timeoutMs: DEFAULT_FILTER_TIMEOUT_MS, ...options};
    this.ready = this.#open();
    // Rejections are the caller's to see, once it awaits.
    this.ready.catch(() => undefined);
  }

  get hasRequest(): boolean {
    return this.#hasRequest;
  }

  get hasResponse(): boolean {
    return this.#hasResponse;
  }

  request(request: Call['request'], done: Call['done']): void {
    this.#call({request, response: null, done});
  }

  response(request: Call['request'], response: NonNullable<Call['response']>, done: Call['done']): void {
    this.#call({request, response, done});
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watch?.close();
    if (this.#restart !== null) clearTimeout(this.#restart);
    const processes = [this.#current, this.#starting, ...this.#draining].filter((process) => process !== null);
    for (const process of processes) process.kill('the filters were ended');
    this.#current = this.#starting = null;
    this.#draining.clear();
    this.#failWaiting('the filters were ended');
    await Promise.all(processes.map((process) => process.exited));
  }

  #call(call: Call): void {
    if (this.#current !== null) this.#current.call(call);
    else if (this.#empty && !this.#closed) {
      // The last filter's file went away between the question and the answer to hasRequest.
      call.done({kind: 'continue', headers: (call.response ?? call.request).headers});
    } else if (this.#closed || this.#waiting.length >= MAX_WAITING) call.done(this.#notRunning());
    else {
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((waiting) => waiting.call !== call);
        call.done(this.#notRunning());
      }, WAIT_FOR_PROCESS_MS);
      this.#waiting.push({call, timer});
    }
  }

  async #open(): Promise<void> {
    try {
      this.#dir = readableDir(this.#options.dir);
      const names = filterFiles(readdirSync(this.#dir)).map((name) => join(this.#dir, name));
      this.#confinement = await findConfinement([HOST, dirname(HOST), this.#dir, ...names]);
      const gap = confinementGap(this.#confinement);
      if (gap !== null) this.#options.onNotice('warn', 'filters.confinement', gap);
      // From before the first load on: a change while it runs is not missed.
      const watch = (this.#watch = watchPaths([this.#dir], () => {
        // New code gets a new chance.
        this.#restartDelayMs = 0;
        void this.#reload();
      }));
      await watch.ready;
      await this.#load();
      if (this.#again) void this.#reload();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Loads what is in the directory into a new process and lets it take over. Rejects, leaving all as it was, where that fails. */
  async #load(): Promise<void> {
    if (this.#closed) return;
    if (filterFiles(readdirSync(this.#dir)).length === 0) {
      this.#takeOver(null);
      return;
    }
    const started = new FilterProcess({
      dir: this.#dir,
      timeoutMs: this.#options.timeoutMs,
      confinement: this.#confinement!,
      onOutput: (line) => this.#options.onNotice('info', 'filters.output', line),
      onEnd: (why) => this.#ended(started, why),
    });
    this.#starting = started;
    try {
      await started.loaded;
    } finally {
      if (this.#starting === started) this.#starting = null;
    }
    if (this.#closed) started.kill('the filters were ended');
    else if (started.ended) throw new Error('the process ended right after loading');
    else this.#takeOver(started);
  }

  #takeOver(next: FilterProcess | null): void {
    const previous = this.#current;
    this.#current = next;
    this.#startedMs = performance.now();
    this.#empty = next === null;
    this.#hasRequest = next?.filters.some((filter) => filter.request) ?? false;
    this.#hasResponse = next?.filters.some((filter) => filter.response) ?? false;
    if (previous !== null) {
      this.#draining.add(previous);
      previous.drain();
    }
    const names = (this.#names = next?.filters.map((filter) => filter.name).join(', ') ?? '');
    this.#options.onNotice(
      'info',
      'filters.loaded',
      names === '' ? 'there are no filters' : `filters in force: ${names}`,
    );
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const {call, timer} of waiting) {
      clearTimeout(timer);
      this.#call(call);
    }
  }

  /** A file changed. One load at a time; what changes meanwhile is loaded after it. */
  async #reload(): Promise<void> {
    if (this.#starting !== null) {
      this.#again = true;
      return;
    }
    if (this.#restart !== null) clearTimeout(this.#restart);
    this.#restart = null;
    do {
      this.#again = false;
      try {
        await this.#load();
      } catch (error) {
        if (this.#closed) return;
        const kept = this.#current === null ? 'requests are denied until it loads' : 'the ones before stay in force';
        this.#options.onNotice('error', 'filters.failed', `${(error as Error).message}; ${kept}`);
      }
    } while (this.#again && !this.#closed);
    if (this.#current === null && !this.#empty) this.#restartLater();
  }

  #ended(process: FilterProcess, why: string): void {
    this.#draining.delete(process);
    if (process !== this.#current || this.#closed) return;
    this.#current = null;
    this.#options.onNotice('error', 'filters.ended', `${why}; the process is replaced`);
    if (performance.now() - this.#startedMs > SOUND_AFTER_MS) this.#restartDelayMs = 0;
    this.#restartLater();
  }

  #restartLater(): void {
    if (this.#closed || this.#restart !== null || this.#starting !== null) return;
    this.#restart = setTimeout(() => {
      this.#restart = null;
      void this.#reload();
    }, this.#restartDelayMs);
    this.#restartDelayMs = Math.min(Math.max(this.#restartDelayMs * 2, FIRST_RESTART_DELAY_MS), MAX_RESTART_DELAY_MS);
  }

  #notRunning(): Extract<FilterVerdict, {kind: 'failed'}> {
    return {kind: 'failed', filter: this.#names, message: 'its process is not running'};
  }

  #failWaiting(message: string): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const {call, timer} of waiting) {
      clearTimeout(timer);
      call.done({...this.#notRunning(), message});
    }
  }
}

function readableDir(dir: string): string {
  // Node reads a `*` in --allow-fs-read as a wildcard: more than this folder would be readable.
  if (dir.includes('*'))
    throw new SallyportError(
      'FiltersUnreadable',
      `--filters ${dir} has a * in its path`,
      'Name a directory without it.',
    );
  try {
    const path = realpathSync(dir);
    readdirSync(path);
    return path;
  } catch (cause) {
    throw new SallyportError(
      'FiltersUnreadable',
      `--filters ${dir} cannot be read`,
      'Name a directory of .js, .mjs or .ts modules.',
      {
        cause,
      },
    );
  }
}

/** Starts the filters of a directory. Calls made before `ready` wait for it for a while. */
export function createFilters(options: FilterOptions): RunningFilters {
  return new FilterSet(options);
}
