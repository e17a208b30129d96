import {LF} from './chars.ts';

/** No whole line yet; feed more. */
export const NEED_MORE = -1;
/** The section is longer than its limit. */
export const TOO_LONG = -2;

const NOTHING = Buffer.alloc(0);
/** Most heads fit: a split one is gathered with one allocation. */
const FIRST_GATHER_BYTES = 1_024;

/**
 * The bytes of one direction of a connection, read in two ways: lines of a section (head, chunk line, trailers), and
 * body bytes. Body bytes come out as views of the chunks that were fed. A section that lies in one chunk is read in
 * place; one that is split is copied together, each byte once (and again where the copy grows by doubling), and
 * never searched twice: feeding a head byte by byte costs linear time.
 */
export class ByteSource {
  /** What is looked at now: the current chunk, or the gathered copy of a split section. */
  bytes: Buffer = NOTHING;
  /** The first byte not consumed, in `bytes`. */
  start = 0;
  private scanned = 0;
  /** Offset of bytes[0] in the connection. */
  private origin = 0;
  private waiting: Buffer[] = [];
  private waitingAt = 0;
  /** While gathered: the storage, the chunk that was added last, and where it begins in `bytes`. */
  private storage: Buffer | null = null;
  private tail: Buffer = NOTHING;
  private tailAt = 0;

  feed(chunk: Buffer): void {
    if (chunk.length === 0) return;
    if (this.storage === null && this.start === this.bytes.length && this.waitingAt === this.waiting.length)
      this.show(chunk);
    else this.waiting.push(chunk);
  }

  /** The offset in the connection of an index into `bytes`. */
  offsetOf(index: number): number {
    return this.origin + index;
  }

  get empty(): boolean {
    return this.start === this.bytes.length && this.waitingAt === this.waiting.length;
  }

  /**
   * The index in `bytes` of the next LF of the section that begins at `start`: NEED_MORE without one, TOO_LONG where
   * the section up to and including it is longer than `limit`. `bytes` and `start` may be others afterwards.
   */
  line(limit: number): number {
    for (;;) {
      const at = this.bytes.indexOf(LF, this.scanned);
      if (at >= 0) {
        if (at - this.start >= limit) return TOO_LONG;
        this.scanned = at + 1;
        return at;
      }
      this.scanned = this.bytes.length;
      if (this.bytes.length - this.start >= limit) return TOO_LONG;
      if (!this.gather(limit)) return NEED_MORE;
    }
  }

  /** The byte at `start`, or NEED_MORE. */
  peek(): number {
    if (this.start === this.bytes.length && !this.advance()) return NEED_MORE;
    return this.bytes[this.start]!;
  }

  /** Consumes up to `index` in `bytes`. What is left is read from the chunk that was fed, not from a gathered copy. */
  consume(index: number): void {
    if (this.storage !== null) {
      this.origin += this.tailAt;
      index -= this.tailAt;
      this.bytes = this.tail;
      this.storage = null;
      this.tail = NOTHING;
    }
    if (index === this.bytes.length) {
      // An idle connection must not hold on to the last chunk that it read.
      this.show(NOTHING);
      return;
    }
    this.start = index;
    this.scanned = index;
  }

  /** Up to `max` bytes as a view of one chunk; null where there are none. */
  take(max: number): Buffer | null {
    if (this.start === this.bytes.length && !this.advance()) return null;
    const {bytes, start} = this;
    const size = bytes.length - start;
    if (size <= max) {
      this.consume(bytes.length);
      return start === 0 ? bytes : bytes.subarray(start);
    }
    this.consume(start + max);
    return bytes.subarray(start, start + max);
  }

  /** Takes everything that was fed and not consumed. Not after TOO_LONG, when the last chunk may be gathered in part. */
  drain(): Buffer {
    const parts = [this.bytes.subarray(this.start), ...this.waiting.slice(this.waitingAt)].filter(
      (part) => part.length > 0,
    );
    this.origin = parts.reduce((offset, part) => offset + part.length, this.offsetOf(this.start));
    this.bytes = NOTHING;
    this.start = 0;
    this.scanned = 0;
    this.waiting = [];
    this.waitingAt = 0;
    this.storage = null;
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  private show(chunk: Buffer): void {
    this.origin += this.bytes.length;
    this.bytes = chunk;
    this.start = 0;
    this.scanned = 0;
  }

  private shift(): Buffer | null {
    if (this.waitingAt === this.waiting.length) return null;
    const chunk = this.waiting[this.waitingAt++]!;
    if (this.waitingAt === this.waiting.length) {
      this.waiting = [];
      this.waitingAt = 0;
    }
    return chunk;
  }

  private advance(): boolean {
    const chunk = this.shift();
    if (chunk === null) return false;
    this.show(chunk);
    return true;
  }

  /** Makes the next chunk part of the section, contiguous with what is there; false where nothing was fed. */
  private gather(limit: number): boolean {
    if (this.start === this.bytes.length) return this.advance();
    const next = this.shift();
    if (next === null) return false;
    const have = this.bytes.length - this.start;
    const added = Math.min(next.length, limit - have);
    if (this.storage === null || this.storage.length < have + added) {
      const grown = Buffer.allocUnsafe(Math.max(FIRST_GATHER_BYTES, 2 * (have + added)));
      this.bytes.copy(grown, 0, this.start);
      this.storage = grown;
      this.origin += this.start;
      this.scanned -= this.start;
      this.start = 0;
    }
    next.copy(this.storage, have, 0, added);
    this.tail = next;
    this.tailAt = have;
    this.bytes = this.storage.subarray(0, have + added);
    return true;
  }
}
