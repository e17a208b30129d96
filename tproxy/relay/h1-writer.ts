/** What goes to an HTTP/1 client: pieces of one turn of the event loop leave in one write. */
import type {Duplex} from 'node:stream';

/** Up to this much is copied into one buffer: one TLS record and one system call instead of several. */
const JOIN_BYTES = 32 * 1024;
/** More than this is not gathered further. */
const GATHER_BYTES = 64 * 1024;

export class H1Writer {
  readonly #socket: Duplex;
  #pieces: Buffer[] = [];
  #pending = 0;
  #scheduled = false;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  /** Bytes that the client has not taken yet. */
  get backlog(): number {
    return this.#pending + this.#socket.writableLength;
  }

  /** Leaves at the end of this turn, together with what else is said in it. */
  push(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#pending += piece.length;
    if (this.#pending > GATHER_BYTES) this.flush();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(flushLater, this);
    }
  }

  flush(): void {
    const pieces = this.#pieces;
    const pending = this.#pending;
    if (pending === 0) return;
    this.#pieces = [];
    this.#pending = 0;
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return;
    if (pieces.length === 1) socket.write(pieces[0]);
    else if (pending <= JOIN_BYTES) socket.write(Buffer.concat(pieces, pending));
    else {
      socket.cork();
      for (const piece of pieces) socket.write(piece);
      socket.uncork();
    }
  }

  /** Flush from the scheduled turn. */
  turn(): void {
    this.#scheduled = false;
    this.flush();
  }
}

function flushLater(writer: H1Writer): void {
  writer.turn();
}
