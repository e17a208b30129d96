/** One identity as it is held: the last good one until its end, and who is told when it is another. */
import type {Journal} from '../../../runtime/journal.ts';
import type {Identity} from './identity.ts';

export interface HeldOptions {
  readonly journal: Journal;
  readonly onChange: () => void;
  /** Unix time in ms. */
  readonly now: () => number;
}

/** setTimeout's longest, about 24 days: a later end is looked at again. */
const MAX_TIMER_MS = 2_147_483_647;

export class HeldIdentity {
  readonly #options: HeldOptions;
  #identity: Identity | null = null;
  #end: NodeJS.Timeout | null = null;

  constructor(options: HeldOptions) {
    this.#options = options;
  }

  /** null: there is none, or it has ended. An ended one is not shown, and not as "better than none": its peers would refuse it. */
  get current(): Identity | null {
    const identity = this.#identity;
    return identity !== null && this.#options.now() < identity.notAfterMs ? identity : null;
  }

  /** The last one, ended or not. */
  get last(): Identity | null {
    return this.#identity;
  }

  set(identity: Identity): void {
    this.#identity = identity;
    this.#watchEnd();
    this.#options.onChange();
  }

  clear(): void {
    if (this.#end !== null) clearTimeout(this.#end);
    this.#end = null;
    if (this.#identity === null) return;
    this.#identity = null;
    this.#options.onChange();
  }

  /** That it ended is said, and told: whoever kept a TLS context by it has to drop it. */
  #watchEnd(): void {
    if (this.#end !== null) clearTimeout(this.#end);
    const identity = this.#identity!;
    const leftMs = identity.notAfterMs - this.#options.now();
    this.#end = setTimeout(
      () => {
        if (this.#options.now() < identity.notAfterMs) return this.#watchEnd();
        this.#end = null;
        this.#options.journal.notice(
          'error',
          'identity.ended',
          `the identity ${identity.spiffeId} ended at ${new Date(identity.notAfterMs).toISOString()} and no other came: connections that need one are refused`,
        );
        this.#options.onChange();
      },
      Math.min(Math.max(leftMs, 0), MAX_TIMER_MS),
    );
    this.#end.unref();
  }
}

/** Who wants to be told. */
export class Listeners {
  readonly #listeners = new Set<() => void>();

  add(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  readonly tell = (): void => {
    for (const listener of [...this.#listeners]) listener();
  };
}
