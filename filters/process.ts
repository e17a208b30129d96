/** One process that runs the filters as they were on disk when it started. */
import {spawn} from 'node:child_process';
import type {ChildProcess} from 'node:child_process';
import {existsSync, realpathSync} from 'node:fs';
import type {Socket} from 'node:net';
import {dirname, join} from 'node:path';
import type {Readable} from 'node:stream';
import {fileURLToPath} from 'node:url';
import {SallyportError} from '../runtime/errors.ts';
import type {Confinement} from './confine.ts';
import type {FilterRequest, FilterResponse, FilterVerdict} from './contract.ts';
import {LineReader, failureAt, throttle} from './output.ts';
import {readHostMessage, readVerdict} from './verdict.ts';
import {FrameReader, encodeFrame, frameWriter} from './wire.ts';
import type {LoadedFilter} from './wire.ts';

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
export const HOST = realpathSync(fileURLToPath(new URL(`./host.${extension}`, import.meta.url)));
/** Imports of all filters, top-level awaits included; a module that takes longer waits for something that will not come. */
const LOAD_TIMEOUT_MS = 10_000;
/** The filters' heap. They see heads, not bodies; what grows beyond this leaks, and is ended before the node feels it. */
const MAX_HEAP_MB = 128;

export interface Call {
  readonly request: FilterRequest;
  /** null: a call of request(). */
  readonly response: FilterResponse | null;
  readonly done: (verdict: FilterVerdict) => void;
}

interface Pending extends Call {
  readonly deadlineMs: number;
}

export interface FilterProcessOptions {
  readonly dir: string;
  readonly timeoutMs: number;
  readonly confinement: Confinement;
  /** A line that a filter printed. */
  readonly onOutput: (line: string) => void;
  /** It ended by itself, or overran; its calls were failed already. Not called after kill(). */
  readonly onEnd: (why: string) => void;
}

export class FilterProcess {
  /** Settles once: the filters, or a SallyportError with file and line. */
  readonly loaded: Promise<readonly LoadedFilter[]>;
  /** Settles when the process is gone. */
  readonly exited: Promise<void>;
  readonly #options: FilterProcessOptions;
  readonly #child: ChildProcess;
  readonly #write: (frame: Buffer) => void;
  /** In the order of their deadlines, for all have the same limit. */
  readonly #pending = new Map<number, Pending>();
  #filters: readonly LoadedFilter[] = [];
  #nextId = 0;
  #timer: NodeJS.Timeout | null = null;
  #ended = false;
  #draining = false;
  #settle!: (outcome: readonly LoadedFilter[] | SallyportError) => void;
  #loadTimer: NodeJS.Timeout | null = null;
  #loadingFile = '';
  #lastError: string[] = [];

  constructor(options: FilterProcessOptions) {
    this.#options = options;
    this.loaded = new Promise((resolve, reject) => {
      this.#settle = (outcome) => {
        if (this.#loadTimer !== null) clearTimeout(this.#loadTimer);
        if (outcome instanceof SallyportError) reject(outcome);
        else resolve(outcome);
      };
    });
    // Whoever waits for it handles it; nobody does after kill().
    this.loaded.catch(() => undefined);
    const {dir, confinement} = options;
    const argv = [
      ...confinement.argv,
      process.execPath,
      '--permission',
      // Without it one filter could change what the others, and the code that writes their verdicts, are made of.
      '--frozen-intrinsics',
      `--allow-fs-read=${dir}`,
      `--allow-fs-read=${dirname(HOST)}`,
      // The nearest package.json says that our own files are modules.
      `--allow-fs-read=${packageJson(dirname(HOST))}`,
      `--max-old-space-size=${MAX_HEAP_MB}`,
      '--no-warnings',
      HOST,
      dir,
    ];
    this.#child = spawn(argv[0]!, argv.slice(1), {env: {}, cwd: '/', stdio: ['ignore', 'pipe', 'pipe', 'pipe']});
    this.exited = new Promise((resolve) => {
      this.#child.once('close', () => resolve());
      this.#child.once('error', () => resolve());
    });
    const channel = this.#child.stdio[3] as Socket;
    this.#write = frameWriter(channel);
    this.#listen(channel);
    this.#loadTimer = setTimeout(
      () => this.#end(`its modules took over ${LOAD_TIMEOUT_MS / 1000} s to load`),
      LOAD_TIMEOUT_MS,
    );
  }

  get filters(): readonly LoadedFilter[] {
    return this.#filters;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Calls of a process that ended are failed at once. */
  call(call: Call): void {
    if (this.#ended) {
      call.done({kind: 'failed', filter: this.#named(call), message: 'the filters are not running'});
      return;
    }
    const id = this.#nextId++;
    const {request, response} = call;
    this.#pending.set(id, {...call, deadlineMs: performance.now() + this.#options.timeoutMs});
    this.#timer ??= setTimeout(this.#overran, this.#options.timeoutMs);
    this.#write(encodeFrame({id, request, response}));
  }

  /** No call comes any more: ends when those in flight are answered. */
  drain(): void {
    this.#draining = true;
    if (this.#pending.size === 0) this.kill('replaced');
  }

  kill(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#child.kill('SIGKILL');
    this.#settle(
      new SallyportError(
        'FilterNotLoaded',
        failureAt(this.#lastError, this.#options.dir, this.#loadingFile) ??
          `${this.#loadingFile || 'the filters'}: ${why}`,
        'Correct the file; it is loaded again when it changes.',
      ),
    );
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const call of pending) call.done({kind: 'failed', filter: this.#named(call), message: why});
  }

  #listen(channel: Socket): void {
    const frames = new FrameReader();
    channel.on('data', (chunk) => {
      try {
        for (const message of frames.push(chunk)) this.#received(message);
      } catch {
        this.#end('their process said what cannot be understood');
      }
    });
    channel.on('error', () => this.#end('their process ended'));
    const lines = (stream: Readable, take: (line: string) => void) => {
      const reader = new LineReader(take);
      stream.on('data', (chunk: Buffer) => reader.push(chunk));
      throttle(stream, this.#child);
    };
    lines(this.#child.stdout!, this.#options.onOutput);
    lines(this.#child.stderr!, (line) => {
      this.#lastError.push(line);
      if (this.#lastError.length > 50) this.#lastError.shift();
    });
    this.#child.on('error', (error) => this.#end(`their process could not be started: ${error.message}`));
    // 'close' comes after the last of stderr, which says why.
    this.#child.on('close', (code, signal) => {
      const said = failureAt(this.#lastError, this.#options.dir, '');
      this.#end(`their process ended (${signal ?? `exit code ${code}`})${said === null ? '' : `: ${said}`}`);
    });
  }

  #received(raw: unknown): void {
    const message = readHostMessage(raw);
    switch (message.kind) {
      case 'loading':
        this.#loadingFile = message.file;
        return;
      case 'loaded':
        this.#filters = message.filters;
        this.#settle(message.filters);
        return;
      case 'verdict': {
        const call = this.#pending.get(message.id);
        if (call === undefined) return;
        this.#pending.delete(message.id);
        call.done(readVerdict(message.raw, (call.response ?? call.request).headers));
        if (this.#draining && this.#pending.size === 0) this.kill('replaced');
        return;
      }
      case 'nonsense':
        this.#end('their process said what cannot be understood');
    }
  }

  readonly #overran = (): void => {
    this.#timer = null;
    const oldest = this.#pending.values().next().value;
    if (oldest === undefined || this.#ended) return;
    const leftMs = oldest.deadlineMs - performance.now();
    if (leftMs > 0) {
      this.#timer = setTimeout(this.#overran, Math.ceil(leftMs));
      return;
    }
    // We may be the late ones: answers that wait in the socket are read before this is called an overrun.
    setImmediate(() => {
      if (this.#pending.values().next().value === oldest)
        this.#end(`a call took over ${this.#options.timeoutMs} ms; the process was ended`);
      else if (this.#pending.size > 0) this.#timer ??= setTimeout(this.#overran, 0);
    });
  };

  #end(why: string): void {
    if (this.#ended) return;
    this.kill(why);
    this.#options.onEnd(why);
  }

  #named(call: Call): string {
    const phase = call.response === null ? 'request' : 'response';
    return this.#filters
      .filter((filter) => filter[phase])
      .map((filter) => filter.name)
      .join(', ');
  }
}

function packageJson(folder: string): string {
  const path = join(folder, 'package.json');
  return existsSync(path) || dirname(folder) === folder ? path : packageJson(dirname(folder));
}
