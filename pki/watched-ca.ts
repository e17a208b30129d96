/** The CA of a directory that changes while we run: who holds it signs with the new one from then on, without a restart. */
import {SallyportError} from '../runtime/errors.ts';
import {watchPaths} from '../runtime/watch.ts';
import {NODE_CA_FILE, hasOwnCa, isWholeCa, openCa, openNodeCa} from './ca.ts';
import type {Ca, CaOptions, Issuer} from './ca.ts';
import {caFileExists} from './ca-files.ts';

export interface WatchedCaOptions extends CaOptions {
  /**
   * Somebody else brings it (a cluster's controller): none is made here, and while there is none, or none that is good,
   * `issuer` throws why. Else what is there at the start must be good, or is made.
   */
  readonly awaited: boolean;
  /** It is another one: what was signed before is to be made anew. */
  readonly onReplaced: () => void;
  /** What was put there cannot be used; the last good one signs on. */
  readonly onFailed: (error: SallyportError) => void;
}

export interface WatchedCa extends Ca {
  /** Why nothing can be signed; null: it can. */
  trouble(): SallyportError | null;
  /** Resolves when changes are seen. */
  readonly ready: Promise<void>;
  /** Looks now; a change is told before it returns. */
  look(): void;
  close(): void;
}

/** Throws SallyportError (Ca...) as openCa does, unless it is awaited. */
export function watchCa(options: WatchedCaOptions): WatchedCa {
  return new DirectoryCa(options);
}

class DirectoryCa implements WatchedCa {
  readonly ready: Promise<void>;
  readonly #options: WatchedCaOptions;
  readonly #watch: {close(): void};
  #ca: Ca | null = null;
  /** What it was when it was last looked at. */
  #seen = '';
  #failure: SallyportError | null = null;

  constructor(options: WatchedCaOptions) {
    this.#options = options;
    // Watched before it is read: what changes in between is not lost.
    const watch = watchPaths([options.dir], () => this.look());
    this.#watch = watch;
    try {
      this.#take(this.#open(true));
    } catch (error) {
      if (!options.awaited) {
        watch.close();
        throw error;
      }
      this.#failure = asSallyportError(error);
    }
    this.ready = watch.ready.then(() => this.look());
  }

  get rootPem(): string {
    return this.#good().rootPem;
  }

  get origin(): Ca['origin'] {
    return this.#good().origin;
  }

  issuer(): Issuer {
    return this.#good().issuer();
  }

  trouble(): SallyportError | null {
    try {
      this.issuer();
      return null;
    } catch (error) {
      return asSallyportError(error);
    }
  }

  look(): void {
    try {
      if (this.#take(this.#open(false))) this.#options.onReplaced();
    } catch (error) {
      const failure = asSallyportError(error);
      const told = this.#failure?.message === failure.message;
      this.#failure = failure;
      if (!told) this.#options.onFailed(failure);
    }
  }

  close(): void {
    this.#watch.close();
  }

  #good(): Ca {
    if (this.#ca === null) throw this.#failure ?? missing(this.#options.dir);
    return this.#ca;
  }

  #open(first: boolean): Ca {
    const {dir, awaited, now} = this.#options;
    const from = now === undefined ? {dir} : {dir, now};
    if (!awaited || hasOwnCa(dir)) {
      // Files are replaced one after the other: nothing is made for what is just missing.
      if (!first && !isWholeCa(dir))
        throw new SallyportError(
          'CaMissingFile',
          `${dir} holds no whole CA any more`,
          'Bring certificate and key; to have a new one made, restart.',
        );
      return openCa(from);
    }
    if (!caFileExists(dir, NODE_CA_FILE)) throw missing(dir);
    return openNodeCa(from);
  }

  /** Whether it is another one. */
  #take(ca: Ca): boolean {
    const {chainPem} = ca.issuer();
    this.#failure = null;
    const is = chainPem + ca.rootPem;
    if (is === this.#seen) return false;
    this.#ca = ca;
    this.#seen = is;
    return true;
  }
}

function missing(dir: string): SallyportError {
  return new SallyportError(
    'CaAwaited',
    `${dir} holds no ${NODE_CA_FILE} yet`,
    "It comes from the cluster's controller; the log says what keeps it.",
  );
}

function asSallyportError(error: unknown): SallyportError {
  return error instanceof SallyportError
    ? error
    : new SallyportError('CaUnreadable', String(error), '', {cause: error});
}
