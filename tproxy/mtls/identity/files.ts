/** An identity that somebody else brings (cert-manager's CSI driver, SPIRE's helper, an operator): three files, watched. */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {SallyportError} from '../../../runtime/errors.ts';
import type {Journal} from '../../../runtime/journal.ts';
import {watchPaths} from '../../../runtime/watch.ts';
import {HeldIdentity, Listeners} from './held.ts';
import type {IdentitySource} from './identity.ts';
import {readIdentity, type IdentityTexts} from './read-identity.ts';

/** As a Secret of the type kubernetes.io/tls and cert-manager name them. */
export const IDENTITY_FILES = {keyPem: 'tls.key', chainPem: 'tls.crt', rootsPem: 'ca.crt'} as const;

export interface FileIdentityOptions {
  readonly dir: string;
  readonly journal: Journal;
  /** Unix time in ms. */
  readonly now?: () => number;
}

export interface FileIdentity extends IdentitySource {
  /** Resolves when the files have been looked at and changes are seen. */
  readonly ready: Promise<void>;
  /** Looks now. */
  look(): void;
}

/**
 * The same identity for every workload: a pod has one. Files that do not belong together (half of a pair is written, a chain whose
 * root is not there yet) are not used; the last good ones are, until their end. Files that are missing are waited for.
 */
export function openFileIdentity(options: FileIdentityOptions): FileIdentity {
  return new Files(options);
}

class Files implements FileIdentity {
  readonly ready: Promise<void>;
  readonly #dir: string;
  readonly #journal: Journal;
  readonly #now: () => number;
  readonly #listeners = new Listeners();
  readonly #held: HeldIdentity;
  readonly #watch: {close(): void};
  /** What was said last, so that it is said once. */
  #said = '';

  constructor({dir, journal, now = Date.now}: FileIdentityOptions) {
    this.#dir = dir;
    this.#journal = journal;
    this.#now = now;
    this.#held = new HeldIdentity({journal, now, onChange: this.#listeners.tell});
    // Watched before it is read: what changes in between is not lost.
    const watch = watchPaths([dir], () => this.look());
    this.#watch = watch;
    this.look();
    this.ready = watch.ready.then(() => this.look());
  }

  current(): ReturnType<IdentitySource['current']> {
    return this.#held.current;
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  look(): void {
    try {
      const texts = this.#read();
      const {last} = this.#held;
      if (last !== null && (Object.keys(texts) as (keyof IdentityTexts)[]).every((key) => last[key] === texts[key])) {
        this.#said = '';
        return;
      }
      const identity = readIdentity(texts, this.#dir, this.#now());
      this.#said = '';
      this.#held.set(identity);
      this.#journal.notice(
        'info',
        'identity.loaded',
        `${this.#dir}: this is ${identity.spiffeId} until ${new Date(identity.notAfterMs).toISOString()}`,
      );
    } catch (error) {
      this.#failed(error);
    }
  }

  stop(): void {
    this.#watch.close();
    this.#held.clear();
  }

  #read(): IdentityTexts {
    const read = (name: string): string => {
      const path = join(this.#dir, name);
      try {
        return readFileSync(path, 'utf8');
      } catch (cause) {
        throw new SallyportError(
          'IdentityUnreadable',
          `${path}: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`,
          'Bring tls.key, tls.crt and ca.crt.',
          {cause},
        );
      }
    };
    // The key last: who replaces files one after the other writes it first, so that the pair is whole when it is read.
    const [rootsPem, chainPem] = [read(IDENTITY_FILES.rootsPem), read(IDENTITY_FILES.chainPem)];
    return {rootsPem, chainPem, keyPem: read(IDENTITY_FILES.keyPem)};
  }

  #failed(error: unknown): void {
    const why = error instanceof SallyportError ? error.describe() : String(error);
    if (this.#said === why) return;
    this.#said = why;
    const {current} = this.#held;
    this.#journal.notice(
      'error',
      'identity.failed',
      `${why} ${current === null ? 'Without an identity connections that need one are refused.' : `The last good one is used until ${new Date(current.notAfterMs).toISOString()}.`}`,
    );
  }
}
