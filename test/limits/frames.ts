/** HTTP/2 frames written by hand, the wrong ones too: what no library would send (RFC 9113, RFC 7541). */

/** RFC 9113 §3.4. */
export const PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const FLAG = {ack: 1, endStream: 1, endHeaders: 4} as const;

const HEADER_BYTES = 9;

/** RFC 9113 §4.1. */
export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** RFC 9113 §6.5.1: identifier and value pairs. */
export function settings(...pairs: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6);
  pairs.forEach(([id, value], i) => {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  });
  return frame(TYPE.settings, 0, 0, payload);
}

export const settingsAck = (): Buffer => frame(TYPE.settings, FLAG.ack, 0);
export const ping = (): Buffer => frame(TYPE.ping, 0, 0, Buffer.alloc(8));
export const rst = (stream: number, code = 8): Buffer => frame(TYPE.rstStream, 0, stream, uint32(code));
export const windowUpdate = (stream: number, by: number): Buffer => frame(TYPE.windowUpdate, 0, stream, uint32(by));
export const priority = (stream: number): Buffer => frame(TYPE.priority, 0, stream, Buffer.from([0, 0, 0, 0, 16]));
export const data = (stream: number, bytes: Buffer, end = false): Buffer =>
  frame(TYPE.data, end ? FLAG.endStream : 0, stream, bytes);

/** One HEADERS frame that holds the whole block. */
export const headers = (stream: number, block: Buffer, end = true): Buffer =>
  frame(TYPE.headers, FLAG.endHeaders | (end ? FLAG.endStream : 0), stream, block);

/** A block spread over a HEADERS and CONTINUATION frames of at most `pieceBytes`; without END_HEADERS where `open`. */
export function spread(stream: number, block: Buffer, pieceBytes: number, open = false): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at < block.length; at += pieceBytes) {
    const last = at + pieceBytes >= block.length && !open;
    const flags = (last ? FLAG.endHeaders : 0) | (at === 0 ? FLAG.endStream : 0);
    frames.push(frame(at === 0 ? TYPE.headers : TYPE.continuation, flags, stream, block.subarray(at, at + pieceBytes)));
  }
  return Buffer.concat(frames);
}

/** RFC 7541 §6.2.2: literals without indexing, nothing Huffman-coded. Names as they are. */
export function literals(lines: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(lines.flatMap(([name, value]) => [Buffer.from([0x00]), text(name), text(value)]));
}

/** RFC 7541 §6.2.1: a literal that goes into the dynamic table, where it is entry 62. */
export const indexed = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0x40]), text(name), text(value)]);

/** RFC 7541 §6.1: `times` references to the newest entry of the dynamic table, one byte each. */
export const references = (times: number): Buffer => Buffer.alloc(times, 0x80 | 62);

/** The block of an ordinary GET. */
export const get = (authority: string, path: string, more: readonly (readonly [string, string])[] = []): Buffer =>
  literals([[':method', 'GET'], [':scheme', 'https'], [':authority', authority], [':path', path], ...more]);

/** The block of an ordinary answer. */
export const answer = (status: number, more: readonly (readonly [string, string])[] = []): Buffer =>
  literals([[':status', String(status)], ...more]);

export interface ReadFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Takes frames apart; feed it what comes in. */
export class FrameReader {
  #bytes: Buffer = Buffer.alloc(0);

  feed(chunk: Buffer): ReadFrame[] {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    const frames: ReadFrame[] = [];
    while (this.#bytes.length >= HEADER_BYTES) {
      const length = this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.length < HEADER_BYTES + length) break;
      frames.push({
        type: this.#bytes[3]!,
        flags: this.#bytes[4]!,
        stream: this.#bytes.readUInt32BE(5) & 0x7fffffff,
        payload: this.#bytes.subarray(HEADER_BYTES, HEADER_BYTES + length),
      });
      this.#bytes = this.#bytes.subarray(HEADER_BYTES + length);
    }
    return frames;
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** RFC 7541 §5.1, §5.2: a length of 7 bits and more, then the octets. */
function text(value: string): Buffer {
  const octets = Buffer.from(value, 'latin1');
  const length: number[] = [];
  let rest = octets.length;
  if (rest < 127) length.push(rest);
  else {
    length.push(127);
    rest -= 127;
    while (rest >= 128) {
      length.push((rest % 128) + 128);
      rest = Math.floor(rest / 128);
    }
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), octets]);
}
