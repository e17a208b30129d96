import {write, writeSync} from 'node:fs';
import {atOnce, type WriteAtOnce} from './log-sink.ts';

/** Where a command's own words go: results to stdout, complaints to stderr. */
export interface Out {
  stdout(text: string): void;
  stderr(text: string): void;
}

/** Where log lines go. */
export interface LineWriter {
  /** Appends one line (without its line end). */
  line(text: string): void;
  /** Writes what is buffered, now, as far as the reader takes it: for the end of the process. */
  flush(): void;
}

/** What is told of lines that could not be written. */
export interface Losses {
  /** At once. */
  lost(lines: number): void;
  /** The first time that a write succeeds again, with all that was lost meanwhile. */
  again(lines: number): void;
}

/** Log lines wait at most this long before they are written, so that a burst is one write. */
const FLUSH_EVERY_MS = 50;
/** ... or until this much of them waits: each write may wake another thread, which costs as much as a dozen lines. */
const FLUSH_AT_BYTES = 32 * 1024;
const BATCH_BYTES = 2 * FLUSH_AT_BYTES;
/** What a UTF-16 code unit takes in UTF-8 at most. */
const MAX_UNIT_BYTES = 3;
/** What may wait while the reader of the log is slow; past it lines are dropped and counted (invariant 8). */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;
/** A pipe that is full is tried again after this. */
const FULL_PIPE_MS = 20;
/** flush() waits so long in all for a reader that stands still: a log is no reason not to end. */
const MAX_FLUSH_MS = 200;

const NEWLINE = Buffer.from('\n');
const NO_LOSSES: Losses = {lost: () => {}, again: () => {}};

/**
 * Buffered lines to a file descriptor (1 is stdout). A log that cannot be written (disk full, reader gone or standing still)
 * is no reason to stop guarding: nothing here throws or waits; lines are lost, and counted, until it can be written again.
 */
export function createLineWriter(fd: number, losses: Losses = NO_LOSSES): LineWriter {
  return new Lines(fd, losses);
}

interface Chunk {
  bytes: Buffer;
  /** Bytes of it that were written. */
  at: number;
}

class Lines implements LineWriter {
  readonly #fd: number;
  /** null: another thread writes. */
  readonly #writeAtOnce: WriteAtOnce | null;
  readonly #losses: Losses;
  /**
   * Lines are written into it as they come: kept as text, they would be the many parts that a line is made of, and the garbage
   * collector would move these about until they are written.
   */
  #batch: Buffer | null = null;
  #used = 0;
  #due: NodeJS.Timeout | null = null;
  readonly #waiting: Chunk[] = [];
  #waitingBytes = 0;
  /** A write is under way on another thread. */
  #under = false;
  /** A reader that takes nothing is waited for. */
  #full = false;
  /** The last write ended within a line; the next one begins with the line end. */
  #torn = false;
  #lostLines = 0;

  constructor(fd: number, losses: Losses) {
    this.#fd = fd;
    this.#writeAtOnce = atOnce(fd);
    this.#losses = losses;
  }

  line(text: string): void {
    const atMost = MAX_UNIT_BYTES * text.length + NEWLINE.length;
    if (this.#used + atMost > BATCH_BYTES) this.#handOver();
    const batch = (this.#batch ??= Buffer.allocUnsafeSlow(Math.max(BATCH_BYTES, atMost)));
    this.#used += batch.write(text, this.#used);
    batch[this.#used++] = NEWLINE[0]!;
    if (this.#used >= FLUSH_AT_BYTES) this.#handOver();
    else this.#due ??= setTimeout(() => this.#handOver(), FLUSH_EVERY_MS).unref();
  }

  flush(): void {
    this.#queue();
    // What another thread writes at the moment it finishes before the process ends.
    const mine = this.#waiting.slice(this.#under ? 1 : 0);
    const now: WriteAtOnce = this.#writeAtOnce ?? ((bytes, at) => writeSync(this.#fd, bytes, at));
    let patience = MAX_FLUSH_MS / FULL_PIPE_MS;
    for (const chunk of mine) {
      while (chunk.at < chunk.bytes.length) {
        try {
          chunk.at += now(chunk.bytes, chunk.at);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || patience-- <= 0) return;
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_MS);
        }
      }
    }
  }

  #handOver(): void {
    this.#queue();
    this.#write();
  }

  #queue(): void {
    if (this.#due !== null) clearTimeout(this.#due);
    this.#due = null;
    const batch = this.#batch;
    if (batch === null) return;
    const used = batch.subarray(0, this.#used);
    // A few lines must not hold the memory of a whole batch while they wait for a slow reader.
    const bytes = used.length < FLUSH_AT_BYTES ? Buffer.from(used) : used;
    this.#batch = null;
    this.#used = 0;
    if (this.#waitingBytes + bytes.length > MAX_WAITING_BYTES) return this.#lost(bytes);
    this.#waitingBytes += bytes.length;
    this.#waiting.push({bytes, at: 0});
  }

  #write(): void {
    while (!this.#under && !this.#full) {
      const chunk = this.#waiting[0];
      if (chunk === undefined) return;
      if (this.#torn && chunk.at === 0) {
        chunk.bytes = Buffer.concat([NEWLINE, chunk.bytes]);
        this.#waitingBytes++;
        this.#torn = false;
      }
      if (this.#writeAtOnce === null) {
        this.#under = true;
        write(this.#fd, chunk.bytes, chunk.at, (error, written) => {
          this.#under = false;
          this.#came(chunk, error, written);
          this.#write();
        });
        return;
      }
      let written: number;
      try {
        written = this.#writeAtOnce(chunk.bytes, chunk.at);
      } catch (error) {
        this.#came(chunk, error as NodeJS.ErrnoException, 0);
        continue;
      }
      this.#came(chunk, null, written);
    }
  }

  #came(chunk: Chunk, error: NodeJS.ErrnoException | null, written: number): void {
    if (error === null) {
      chunk.at += written;
      if (chunk.at < chunk.bytes.length) return;
    } else if (error.code === 'EAGAIN') {
      this.#full = true;
      setTimeout(() => {
        this.#full = false;
        this.#write();
      }, FULL_PIPE_MS).unref();
      return;
    }
    this.#waiting.shift();
    this.#waitingBytes -= chunk.bytes.length;
    if (error !== null) {
      this.#torn ||= chunk.at > 0 && chunk.bytes[chunk.at - 1] !== NEWLINE[0];
      this.#lost(chunk.bytes.subarray(chunk.at));
    } else if (this.#lostLines > 0) {
      const lines = this.#lostLines;
      this.#lostLines = 0;
      this.#losses.again(lines);
    }
  }

  #lost(bytes: Buffer): void {
    let lines = 0;
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines++;
    this.#lostLines += lines;
    this.#losses.lost(lines);
  }
}
