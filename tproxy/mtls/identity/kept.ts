/** One identity that is kept current: asked for, renewed in time, asked for again after a failure. */
import {pause} from '../../../runtime/pause.ts';
import {SallyportError} from '../../../runtime/errors.ts';
import type {Journal} from '../../../runtime/journal.ts';
import {HeldIdentity} from './held.ts';
import type {Identity} from './identity.ts';
import {renewIdentityAtMs, retryInMs} from './renewal.ts';

export interface KeptOptions {
  /** For the log: whose it is, or the token's file while that is not known. */
  readonly name: string;
  readonly ask: (signal: AbortSignal) => Promise<Identity>;
  readonly journal: Journal;
  readonly onChange: () => void;
  /** Unix time in ms. */
  readonly now: () => number;
}

/** A machine may have slept, and its clock been set: it is looked at this often. */
const LOOK_MS = 60_000;

/** Asks at once, and until stopped. */
export class KeptIdentity {
  readonly #options: KeptOptions;
  readonly #held: HeldIdentity;
  readonly #stopped = new AbortController();
  readonly #running: Promise<void>;
  #said = '';

  constructor(options: KeptOptions) {
    this.#options = options;
    this.#held = new HeldIdentity(options);
    this.#running = this.#run();
  }

  get current(): Identity | null {
    return this.#held.current;
  }

  /** Resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#held.clear();
    await this.#running;
  }

  async #run(): Promise<void> {
    const {signal} = this.#stopped;
    const {now} = this.#options;
    let dueMs = 0;
    let failures = 0;
    while (!signal.aborted) {
      const inMs = dueMs - now();
      if (inMs > 0) {
        await pause(Math.min(inMs, LOOK_MS), signal);
        continue;
      }
      try {
        const identity = await this.#options.ask(signal);
        if (signal.aborted) return;
        failures = 0;
        dueMs = renewIdentityAtMs(now(), identity.notAfterMs, Math.random());
        this.#said = '';
        this.#options.journal.notice(
          'info',
          'identity.issued',
          `this is ${identity.spiffeId} until ${new Date(identity.notAfterMs).toISOString()}`,
        );
        this.#held.set(identity);
      } catch (error) {
        if (signal.aborted) return;
        failures++;
        this.#failed(error);
        await pause(retryInMs(failures, Math.random()), signal);
      }
    }
  }

  /** The same reason is said once, until it is another. */
  #failed(error: unknown): void {
    const why = error instanceof SallyportError ? error.describe() : String(error);
    if (why === this.#said) return;
    this.#said = why;
    const {current} = this.#held;
    const meanwhile =
      current === null
        ? 'without an identity connections that need one are refused'
        : `the last one is used until ${new Date(current.notAfterMs).toISOString()}`;
    this.#options.journal.notice(
      'error',
      'identity.failed',
      `${this.#options.name}: ${why} Asked again; ${meanwhile}.`,
    );
  }
}
