/** ClientHellos for tests, put together field by field. */

const u8 = (value: number) => Buffer.from([value]);
const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff]);
export const vector8 = (bytes: Buffer): Buffer => Buffer.concat([u8(bytes.length), bytes]);
export const vector16 = (bytes: Buffer): Buffer => Buffer.concat([u16(bytes.length), bytes]);

export type Extension = readonly [type: number, value: Buffer];

export const serverName = (name: string | Buffer): Extension => [
  0,
  vector16(Buffer.concat([u8(0), vector16(Buffer.from(name as string, 'latin1'))])),
];
export const alpn = (...names: string[]): Extension => [
  16,
  vector16(Buffer.concat(names.map((name) => vector8(Buffer.from(name, 'latin1'))))),
];
export const versions = (...list: number[]): Extension => [43, vector8(Buffer.concat(list.map(u16)))];

export interface HelloParts {
  readonly extensions?: readonly Extension[] | null;
  readonly version?: number;
  readonly sessionId?: Buffer;
  readonly ciphers?: Buffer;
  readonly compression?: Buffer;
  readonly trailer?: Buffer;
}

/** The handshake message, header included, no record around it. */
export function helloMessage(parts: HelloParts = {}): Buffer {
  const extensions = parts.extensions === undefined ? [serverName('a.test')] : parts.extensions;
  const body = Buffer.concat([
    u16(parts.version ?? 0x0303),
    Buffer.alloc(32, 7),
    vector8(parts.sessionId ?? Buffer.alloc(0)),
    vector16(parts.ciphers ?? Buffer.from('1301', 'hex')),
    vector8(parts.compression ?? u8(0)),
    extensions === null
      ? Buffer.alloc(0)
      : vector16(Buffer.concat(extensions.map(([type, value]) => Buffer.concat([u16(type), vector16(value)])))),
    parts.trailer ?? Buffer.alloc(0),
  ]);
  return Buffer.concat([u8(1), u8(body.length >> 16), u16(body.length & 0xffff), body]);
}

export function record(fragment: Buffer, type = 22, version = 0x0301): Buffer {
  return Buffer.concat([u8(type), u16(version), vector16(fragment)]);
}

/** The message cut into records of the given sizes; the last size repeats. */
export function records(message: Buffer, ...sizes: number[]): Buffer {
  const out: Buffer[] = [];
  for (let at = 0, i = 0; at < message.length; i++) {
    const size = sizes[Math.min(i, sizes.length - 1)]!;
    out.push(record(message.subarray(at, at + size)));
    at += size;
  }
  return Buffer.concat(out);
}

export const hello = (parts: HelloParts = {}): Buffer => record(helloMessage(parts));
