/** The least of RFC 6455 that echoes: frames come back as they were, unmasked. */
import {createHash} from 'node:crypto';
import type {Duplex} from 'node:stream';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export const acceptKey = (key: string): string => createHash('sha1').update(`${key}${GUID}`).digest('base64');

/** Takes whole frames off `buffered`: the replies, and what is left. */
export function echoFrames(buffered: Buffer): {
  readonly replies: Buffer[];
  readonly rest: Buffer;
  readonly closed: boolean;
} {
  const replies: Buffer[] = [];
  let rest = buffered;
  for (;;) {
    if (rest.length < 2) return {replies, rest, closed: false};
    const masked = (rest[1]! & 0x80) !== 0;
    let length = rest[1]! & 0x7f;
    let at = 2;
    if (length === 126) {
      if (rest.length < 4) return {replies, rest, closed: false};
      length = rest.readUInt16BE(2);
      at = 4;
    } else if (length === 127) {
      if (rest.length < 10) return {replies, rest, closed: false};
      length = Number(rest.readBigUInt64BE(2));
      at = 10;
    }
    const mask = masked ? rest.subarray(at, at + 4) : null;
    if (masked) at += 4;
    if (rest.length < at + length) return {replies, rest, closed: false};
    const payload = Buffer.from(rest.subarray(at, at + length));
    if (mask !== null) for (let i = 0; i < payload.length; i++) payload[i]! ^= mask[i % 4]!;
    const opcode = rest[0]! & 0x0f;
    // A ping is answered by a pong, everything else by itself.
    replies.push(frame((rest[0]! & 0x80) | (opcode === 9 ? 10 : opcode), payload));
    rest = rest.subarray(at + length);
    if (opcode === 8) return {replies, rest, closed: true};
  }
}

function frame(first: number, payload: Buffer): Buffer {
  const long = payload.length < 126 ? 0 : payload.length < 65536 ? 2 : 8;
  const head = Buffer.alloc(2 + long);
  head[0] = first;
  if (long === 0) head[1] = payload.length;
  else {
    head[1] = long === 2 ? 126 : 127;
    if (long === 2) head.writeUInt16BE(payload.length, 2);
    else head.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  return Buffer.concat([head, payload]);
}

/** Echoes frames on a stream until it ends. */
export function serveWebSocket(stream: Duplex, first: Buffer): void {
  let buffered = Buffer.from(first);
  const work = (): void => {
    const {replies, rest, closed} = echoFrames(buffered);
    buffered = rest as Buffer<ArrayBuffer>;
    for (const reply of replies) stream.write(reply);
    if (closed) stream.end();
  };
  stream.on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    work();
  });
  stream.on('end', () => stream.end());
  stream.on('error', () => stream.destroy());
  work();
}
