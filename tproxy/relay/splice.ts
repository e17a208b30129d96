/** Two byte streams joined: backpressure both ways, half-close kept, nothing held but what the streams hold. */
import type {Duplex} from 'node:stream';

export interface SpliceEvents {
  /** Bytes moved, either way. */
  moved(): void;
  /** Both ways have ended, or one side broke; then the text says which. Once. */
  closed(failed: string | null): void;
}

export class Splice {
  readonly #a: Duplex;
  readonly #b: Duplex;
  readonly #events: SpliceEvents;
  bytesFromA = 0;
  bytesFromB = 0;
  #open = 2;
  #done = false;

  constructor(a: Duplex, b: Duplex, events: SpliceEvents) {
    this.#a = a;
    this.#b = b;
    this.#events = events;
  }

  /** `first`: bytes of `a` that were read already. */
  start(first: Buffer): void {
    const {a, b} = {a: this.#a, b: this.#b};
    a.on('error', ignore);
    b.on('error', ignore);
    a.once('close', () => this.#closed('a'));
    b.once('close', () => this.#closed('b'));
    a.on('drain', () => b.resume());
    b.on('drain', () => a.resume());
    a.on('data', (chunk: Buffer) => {
      this.bytesFromA += chunk.length;
      this.#events.moved();
      if (!b.write(chunk)) a.pause();
    });
    b.on('data', (chunk: Buffer) => {
      this.bytesFromB += chunk.length;
      this.#events.moved();
      if (!a.write(chunk)) b.pause();
    });
    a.once('end', () => this.#ended(b));
    b.once('end', () => this.#ended(a));
    if (first.length > 0) {
      this.bytesFromA += first.length;
      if (!b.write(first)) a.pause();
      else a.resume();
    } else a.resume();
    b.resume();
  }

  destroy(): void {
    this.#done = true;
    this.#a.destroy();
    this.#b.destroy();
  }

  #ended(other: Duplex): void {
    this.#open--;
    other.end();
  }

  /** A stream is gone. Before both ends were seen that is a break, and the other side is told by being cut. */
  #closed(side: 'a' | 'b'): void {
    if (this.#done) return;
    this.#done = true;
    if (this.#open === 0) {
      this.#events.closed(null);
      return;
    }
    const other = side === 'a' ? this.#b : this.#a;
    other.destroy();
    this.#events.closed(side === 'b' ? 'The server broke the connection off.' : null);
  }
}

function ignore(): void {
  // 'close' follows.
}
