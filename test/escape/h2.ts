/** HTTP/2 frames as bytes, so that what no library would send can be sent (RFC 9113, RFC 7541). */

const FRAME = {data: 0, headers: 1, settings: 4, continuation: 9} as const;
const END_STREAM = 0x1;
const END_HEADERS = 0x4;

type Field = readonly [name: string, value: string];

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** RFC 7541 §5.1 with a prefix of 7 bits; no Huffman, so that the text can be found on the wire. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  const length: number[] = [];
  if (bytes.length < 127) length.push(bytes.length);
  else {
    length.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** RFC 7541 §6.2.2: literal, not indexed, new name. */
const block = (fields: readonly Field[]): Buffer =>
  Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));

export const h2 = {
  open: (): Buffer =>
    Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(FRAME.settings, 0, 0, Buffer.alloc(0))]),
  /** A whole request without a body. */
  request: (stream: number, fields: readonly Field[]): Buffer =>
    frame(FRAME.headers, END_HEADERS | END_STREAM, stream, block(fields)),
  /** The head of a request with a body. */
  head: (stream: number, fields: readonly Field[]): Buffer => frame(FRAME.headers, END_HEADERS, stream, block(fields)),
  body: (stream: number, bytes: string, end = true): Buffer =>
    frame(FRAME.data, end ? END_STREAM : 0, stream, Buffer.from(bytes, 'latin1')),
  trailers: (stream: number, fields: readonly Field[]): Buffer =>
    frame(FRAME.headers, END_HEADERS | END_STREAM, stream, block(fields)),
};
