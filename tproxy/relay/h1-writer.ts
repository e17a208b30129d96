/** What goes to an HTTP/1 client: pieces of one turn of the event loop leave in one write. */
import type {Duplex} from 'node:stream';
import {flushAtEndOfTurn} from '../turn.ts';

/**
 * Up to this much is copied into one buffer: one TLS record and one system call instead of several. More is given to the
 * socket as it is, which does the same below us, without a buffer for the garbage collector; as much as Buffer's pool serves.
 */
const JOIN_BYTES = 4 * 1024 - 1;
/** More than this is not gathered further. */
const GATHER_BYTES = 64 * 1024;

export class H1Writer {
  readonly #socket: Duplex;
  /** Heads and chunk lines as Latin-1 text, bodies as the chunks they came in. */
  #pieces: (string | Buffer)[] = [];
  #pending = 0;
  #scheduled = false;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  /** Bytes that the client has not taken yet. */
  get backlog(): number {
    return this.#pending + this.#socket.writableLength;
  }

  /** The socket says 'drain' when it has taken what it was given; false: it will not. */
  get needsDrain(): boolean {
    return this.#socket.writableNeedDrain;
  }

  /** Leaves at the end of this turn, together with what else is said in it. */
  push(piece: string | Buffer): void {
    this.#pieces.push(piece);
    this.#pending += piece.length;
    if (this.#pending > GATHER_BYTES) this.#write();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      flushAtEndOfTurn(this);
    }
  }

  flush(): void {
    this.#scheduled = false;
    this.#write();
  }

  #write(): void {
    const pieces = this.#pieces;
    const pending = this.#pending;
    if (pending === 0) return;
    this.#pieces = [];
    this.#pending = 0;
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return;
    if (pieces.length === 1) write(socket, pieces[0]!);
    else if (pending <= JOIN_BYTES) socket.write(joined(pieces, pending));
    else {
      socket.cork();
      for (const piece of pieces) write(socket, piece);
      socket.uncork();
    }
  }
}

function write(socket: Duplex, piece: string | Buffer): void {
  if (typeof piece === 'string') socket.write(piece, 'latin1');
  else socket.write(piece);
}

function joined(pieces: readonly (string | Buffer)[], bytes: number): Buffer {
  const whole = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const piece of pieces) {
    if (typeof piece === 'string') whole.write(piece, at, 'latin1');
    else piece.copy(whole, at);
    at += piece.length;
  }
  return whole;
}
