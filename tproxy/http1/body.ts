import {COLON, CR, HEX, LF, SEMICOLON, TOKEN, VALUE} from './chars.ts';
import {malformed} from './codes.ts';
import type {MalformedCode} from './codes.ts';
import {FieldSection} from './fields.ts';
import type {CodecLimits} from './limits.ts';
import type {Framing, HeaderLines, Malformed} from './messages.ts';
import {NEED_MORE, TOO_LONG} from './source.ts';
import type {ByteSource} from './source.ts';
import {isForbiddenTrailer} from './trailers.ts';

const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** What a body has to say; the same shapes as in RequestEvent and ResponseEvent. */
export type BodyEvent =
  | {readonly kind: 'more'}
  | {readonly kind: 'body'; readonly chunk: Buffer}
  | {readonly kind: 'end'; readonly trailers: HeaderLines}
  | Malformed;

export const MORE: {readonly kind: 'more'} = {kind: 'more'};

export function end(trailers: HeaderLines = []): {readonly kind: 'end'; readonly trailers: HeaderLines} {
  return {kind: 'end', trailers};
}

/** Reads message bodies of one direction (RFC 9112 §6, §7). Nothing of them is kept. */
export class BodyReader {
  private state: 'length' | 'close' | 'chunk-line' | 'chunk-data' | 'chunk-cr' | 'chunk-lf' | 'trailers' = 'length';
  private remaining = 0;
  private extensionBytes = 0;
  /** The start of the trailer line being read, relative to the section's start. */
  private lineStart = 0;
  private readonly trailers = new FieldSection();
  private readonly source: ByteSource;
  private readonly limits: CodecLimits;

  constructor(source: ByteSource, limits: CodecLimits) {
    this.source = source;
    this.limits = limits;
  }

  begin(framing: Framing): void {
    this.remaining = 0;
    switch (framing.kind) {
      case 'none':
        this.state = 'length';
        return;
      case 'length':
        this.state = 'length';
        this.remaining = framing.bytes;
        return;
      case 'close':
        this.state = 'close';
        return;
      case 'chunked':
        this.state = 'chunk-line';
        this.extensionBytes = 0;
        return;
    }
  }

  /** Whether the connection's end ends this body. */
  get endsWithConnection(): boolean {
    return this.state === 'close';
  }

  next(): BodyEvent {
    for (;;) {
      switch (this.state) {
        case 'length': {
          if (this.remaining === 0) return end();
          return this.view();
        }
        case 'close': {
          const chunk = this.source.take(Number.MAX_SAFE_INTEGER);
          return chunk === null ? MORE : {kind: 'body', chunk};
        }
        case 'chunk-line': {
          const refused = this.chunkLine();
          if (refused !== null) return refused;
          break;
        }
        case 'chunk-data': {
          if (this.remaining > 0) return this.view();
          this.state = 'chunk-cr';
          break;
        }
        case 'chunk-cr':
        case 'chunk-lf': {
          const refused = this.chunkEnd(this.state === 'chunk-cr' ? CR : LF);
          if (refused !== null) return refused;
          this.state = this.state === 'chunk-cr' ? 'chunk-lf' : 'chunk-line';
          break;
        }
        case 'trailers':
          return this.trailerSection();
      }
    }
  }

  private view(): BodyEvent {
    const chunk = this.source.take(this.remaining);
    if (chunk === null) return MORE;
    this.remaining -= chunk.length;
    return {kind: 'body', chunk};
  }

  /** chunk-size [chunk-ext] CRLF (RFC 9112 §7.1). */
  private chunkLine(): BodyEvent | null {
    const {source, limits} = this;
    const lf = source.line(limits.maxChunkLineBytes);
    if (lf === NEED_MORE) return MORE;
    if (lf === TOO_LONG) return this.bad('ChunkLineTooLong', source.start);
    const {bytes, start} = source;
    const to = lf - 1;
    // "TERM.EXT": a lone LF that ends the line here and is part of an extension elsewhere, or the other way round.
    if (to < start || bytes[to] !== CR) return this.bad('BareLf', lf);
    let size = 0;
    let i = start;
    for (; i < to && HEX[bytes[i]!] !== 255; i++) {
      if (i - start === limits.maxChunkSizeDigits) return this.bad('ChunkSizeTooLong', i);
      size = size * 16 + HEX[bytes[i]!]!;
    }
    if (i === start || (i < to && bytes[i] !== SEMICOLON))
      return this.bad(bytes[i] === CR && i < to ? 'BareCr' : 'BadChunkSize', i);
    if (i < to) {
      const wrong = badExtension(bytes, i, to);
      if (wrong >= 0) return this.bad(bytes[wrong] === CR && wrong < to ? 'BareCr' : 'BadChunkExtension', wrong);
      this.extensionBytes += to - i;
      if (this.extensionBytes > limits.maxChunkExtensionBytes) return this.bad('ChunkExtensionsTooLarge', i);
    }
    source.consume(lf + 1);
    this.remaining = size;
    if (size > 0) {
      this.state = 'chunk-data';
    } else {
      this.state = 'trailers';
      this.lineStart = 0;
      this.trailers.reset();
    }
    return null;
  }

  /** One byte of the CRLF after a chunk's data; a chunk that is longer than it says shows here. */
  private chunkEnd(wanted: number): BodyEvent | null {
    const {source} = this;
    const byte = source.peek();
    if (byte === NEED_MORE) return MORE;
    if (byte !== wanted) return this.bad('BadChunkEnd', source.start);
    source.consume(source.start + 1);
    return null;
  }

  private trailerSection(): BodyEvent {
    const {source, trailers, limits} = this;
    for (;;) {
      const lf = source.line(limits.maxTrailerBytes);
      if (lf === NEED_MORE) return MORE;
      if (lf === TOO_LONG) return this.bad('TrailersTooLarge', source.start + limits.maxTrailerBytes);
      const {bytes, start} = source;
      const from = start + this.lineStart;
      const to = lf - 1;
      if (to < from || bytes[to] !== CR) return this.bad('BareLf', lf);
      if (to === from) {
        if (trailers.count === 0) {
          source.consume(lf + 1);
          return end();
        }
        const lines = trailers.lines(bytes.toString('latin1', start, to));
        source.consume(lf + 1);
        return end(lines);
      }
      if (trailers.count === limits.maxHeaders) return this.bad('TooManyHeaders', from);
      const refused = trailers.add(bytes, start, from, to);
      if (refused !== null) return this.bad(refused, trailers.refusedAt);
      const name = bytes.toString('latin1', from, bytes.indexOf(COLON, from)).toLowerCase();
      if (isForbiddenTrailer(name)) return this.bad('ForbiddenTrailer', from);
      this.lineStart = lf + 1 - start;
    }
  }

  private bad(code: MalformedCode, index: number): Malformed {
    return malformed(code, this.source.offsetOf(index));
  }
}

/**
 * Where the extensions from the first ';' to the CR are wrong; -1 where they are not. Without the white space that
 * RFC 9112 §7.1.1 calls bad: nobody sends it, and it is where parsers differ.
 */
function badExtension(bytes: Buffer, from: number, to: number): number {
  let i = from;
  while (i < to) {
    if (bytes[i] !== SEMICOLON) return i;
    i++;
    const name = i;
    while (i < to && TOKEN[bytes[i]!] === 1) i++;
    if (i === name) return i;
    if (i === to || bytes[i] !== EQUALS) continue;
    i++;
    const value = i;
    if (bytes[i] === QUOTE) {
      for (i++; i < to && bytes[i] !== QUOTE; i++) {
        if (bytes[i] === BACKSLASH) i++;
        if (i >= to || VALUE[bytes[i]!] !== 1) return Math.min(i, to);
      }
      if (i >= to) return to;
      i++;
    } else {
      while (i < to && TOKEN[bytes[i]!] === 1) i++;
      if (i === value) return i;
    }
  }
  return -1;
}
