/** Two ends of one carried connection: backpressure, half-close and reset kept, both ways. */
import type {Socket} from 'node:net';
import {reset as resetSocket} from '../../capture/sockets.ts';
import {flushAtEndOfTurn, type Pending} from '../../turn.ts';

/** `stream` is what is read and written; `raw` the TCP socket beneath it, which alone can be reset. The same where there is no TLS. */
export interface End {
  readonly stream: Socket;
  readonly raw: Socket;
}

export interface JointEvents {
  /** Once: both ways have ended, or one side broke. */
  closed(broken: boolean): void;
}

export class Joint {
  readonly #a: End;
  readonly #b: End;
  readonly #events: JointEvents;
  bytesFromA = 0;
  bytesFromB = 0;
  #open = 2;
  #ends = 0;
  #done = false;

  constructor(a: End, b: End, events: JointEvents) {
    this.#a = a;
    this.#b = b;
    this.#events = events;
  }

  /** `first`: bytes of `a` that were read already. */
  start(first: Buffer | null): void {
    const a = this.#a.stream;
    const b = this.#b.stream;
    const toA = new Gathered(a);
    const toB = new Gathered(b);
    a.on('data', (chunk: Buffer) => {
      this.bytesFromA += chunk.length;
      if (!toB.write(chunk)) a.pause();
    });
    b.on('data', (chunk: Buffer) => {
      this.bytesFromB += chunk.length;
      if (!toA.write(chunk)) b.pause();
    });
    a.on('drain', () => b.resume());
    b.on('drain', () => a.resume());
    if (first !== null && first.length > 0) {
      this.bytesFromA += first.length;
      if (!b.write(first)) a.pause();
      else a.resume();
    } else a.resume();
    b.resume();
    // Last: what has ended already ends the other behind what was read of it.
    this.#watch(this.#a, this.#b);
    this.#watch(this.#b, this.#a);
  }

  /** A cut, seen as one by both sides: a truncated stream must look like no whole one. */
  destroy(): void {
    if (this.#done) return;
    this.#done = true;
    reset(this.#a);
    reset(this.#b);
    this.#events.closed(true);
  }

  #watch(end: End, other: End): void {
    const {stream} = end;
    const ended = (): void => {
      this.#open--;
      // Also close_notify, where that is TLS (RFC 8446 §6.1: it ends one way only).
      other.stream.end();
    };
    if (stream.readableEnded) ended();
    else stream.once('end', ended);
    stream.on('error', ignore);
    end.raw.on('error', ignore);
    stream.once('close', () => this.#closed(other));
  }

  #closed(other: End): void {
    if (this.#done) return;
    if (this.#open > 0) {
      // Gone before both were done: the other side is told by a reset, as it would have been without us.
      this.#done = true;
      reset(other);
      this.#events.closed(true);
      return;
    }
    if (++this.#ends < 2) return;
    this.#done = true;
    this.#events.closed(false);
  }
}

/** Ends it with RST; what OpenSSL would still say is not said. */
export function reset({stream, raw}: End): void {
  raw.on('error', ignore);
  stream.on('error', ignore);
  resetSocket(raw);
  // Not in this turn: we may be called by what the TLS socket has just read or shaken hands for, and Node frees beneath itself then (it dies
  // of SIGSEGV). It ends with its raw socket anyway.
  if (stream !== raw) setImmediate(() => stream.destroy());
}

/** Errors of a socket are seen as its close; the listener keeps them from being thrown. */
export function ignore(): void {
  // Nothing: 'close' follows.
}

/**
 * Node hands out TLS by the record, 16 KB: what one turn brings is written by one system call, a quarter of the CPU of large bodies.
 * What is gathered counts as written: highWaterMark and 'drain' are as ever, end() writes it first, and destroy() drops it.
 */
class Gathered implements Pending {
  readonly #to: Socket;

  constructor(to: Socket) {
    this.#to = to;
  }

  /** False: wait for 'drain'. */
  write(chunk: Buffer): boolean {
    if (this.#to.writableCorked === 0) {
      this.#to.cork();
      flushAtEndOfTurn(this);
    }
    return this.#to.write(chunk);
  }

  flush(): void {
    this.#to.uncork();
  }
}
