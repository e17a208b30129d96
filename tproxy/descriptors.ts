/** Notices when this process has no descriptor left: the kernel's refusals reach nobody, for libuv closes what it cannot accept. */
import {closeSync, openSync, readFileSync} from 'node:fs';
import type {Journal} from '../runtime/journal.ts';

export class DescriptorWatch {
  readonly #journal: Journal;
  /** Read now: without a descriptor it could not be. */
  readonly #limit = openFilesLimit();
  #out = false;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** Tries to get one; some 10 µs. Says when there is none, and when there are some again. */
  look(): void {
    let code: string | undefined;
    try {
      closeSync(openSync('/dev/null', 'r'));
    } catch (error) {
      code = (error as NodeJS.ErrnoException).code;
    }
    const out = code === 'EMFILE' || code === 'ENFILE';
    if (out === this.#out) return;
    this.#out = out;
    if (!out) this.#journal.notice('info', 'worker.descriptors', 'there are descriptors again');
    else
      this.#journal.notice(
        'error',
        'worker.descriptors',
        code === 'ENFILE'
          ? 'this machine has no descriptor left (fs.file-max): new connections are closed'
          : `no descriptor is left (limit at start: ${this.#limit ?? 'unknown'}): new connections are closed; raise the limit of open files (LimitNOFILE=, ulimit -n)`,
      );
  }
}

/** The soft limit; null: no /proc. */
function openFilesLimit(): string | null {
  try {
    return /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? null;
  } catch {
    return null;
  }
}
