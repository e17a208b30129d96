/** What this process and the filters' process say to each other: JSON in frames of a 4-byte length, over one socket pair. */
import type {FilterRequest, FilterResponse} from './contract.ts';

/**
 * The most bytes of one frame. Header sections are bounded far below it, and so is an answer's body (MAX_ANSWER_BYTES);
 * a peer that announces more has lost its mind.
 */
export const MAX_FRAME_BYTES = 4 * 1024 * 1024;
/** The most characters of an answer's body: it is held in memory for each denied request. */
export const MAX_ANSWER_CHARACTERS = 256 * 1024;
const LENGTH_BYTES = 4;

export interface LoadedFilter {
  /** The file's name. */
  readonly name: string;
  readonly request: boolean;
  readonly response: boolean;
}

/** To the filters' process. */
export interface Call {
  readonly id: number;
  readonly request: FilterRequest;
  /** null: this is a call of request(). */
  readonly response: FilterResponse | null;
}

/** From the filters' process. It runs code that is not ours: read with readVerdict, never believed. */
export type FromHost =
  | {readonly kind: 'loading'; readonly file: string}
  | {readonly kind: 'loaded'; readonly filters: readonly LoadedFilter[]}
  /** `headers` is null where they are as they were: the common case costs no list. */
  | {
      readonly kind: 'continue';
      readonly id: number;
      readonly headers: readonly string[] | null;
      readonly filter: string;
    }
  | {
      readonly kind: 'answered';
      readonly id: number;
      readonly filter: string;
      readonly response: {readonly status: number; readonly headers: readonly string[]; readonly body: string};
    }
  | {readonly kind: 'failed'; readonly id: number; readonly filter: string; readonly message: string};

export function encodeFrame(message: Call | FromHost): Buffer {
  const text = JSON.stringify(message);
  const bytes = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + bytes);
  frame.writeUInt32LE(bytes, 0);
  frame.write(text, LENGTH_BYTES);
  return frame;
}

/** Cuts a byte stream into frames. Throws RangeError for a frame over the limit, SyntaxError for one that is no JSON. */
export class FrameReader {
  #left: Buffer = Buffer.alloc(0);
  #chunks: Buffer[] = [];
  #bytes = 0;

  *push(chunk: Buffer): Generator<unknown, void> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= LENGTH_BYTES) {
      this.#join(LENGTH_BYTES);
      const length = this.#left.readUInt32LE(0);
      if (length > MAX_FRAME_BYTES) throw new RangeError(`a frame of ${length} bytes`);
      if (this.#bytes < LENGTH_BYTES + length) return;
      this.#join(LENGTH_BYTES + length);
      const text = this.#left.toString('utf8', LENGTH_BYTES, LENGTH_BYTES + length);
      this.#left = this.#left.subarray(LENGTH_BYTES + length);
      this.#bytes -= LENGTH_BYTES + length;
      yield JSON.parse(text);
    }
  }

  /** Makes the first `bytes` contiguous; joins only when that many are there, so a large frame is copied once or twice. */
  #join(bytes: number): void {
    if (this.#left.length >= bytes) return;
    this.#left = Buffer.concat([this.#left, ...this.#chunks]);
    this.#chunks = [];
  }
}

/** Frames of one turn of the event loop leave in one write. */
export function frameWriter(socket: {
  cork(): void;
  uncork(): void;
  write(frame: Buffer): boolean;
}): (frame: Buffer) => void {
  let corked = false;
  return (frame) => {
    if (!corked) {
      corked = true;
      socket.cork();
      process.nextTick(() => {
        corked = false;
        socket.uncork();
      });
    }
    socket.write(frame);
  };
}
