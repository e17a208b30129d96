/** ClientHellos as bytes, so that what no library would send can be sent (RFC 8446 §4.1.2, RFC 6066 §3). */

export interface Hello {
  /** The names of the server_name extension; none: no extension. */
  readonly names?: readonly string[];
  /** A second server_name extension. */
  readonly again?: readonly string[];
  /** The payload of an encrypted_client_hello extension (RFC 9849). */
  readonly ech?: string;
  /** Text in a padding extension: so that the hello itself carries a token. */
  readonly padding?: string;
  /** An early_data extension, as with 0-RTT. */
  readonly earlyData?: boolean;
  readonly alpn?: readonly string[];
}

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const vector16 = (...parts: readonly Buffer[]): Buffer => {
  const bytes = Buffer.concat(parts);
  return Buffer.concat([u16(bytes.length), bytes]);
};
const extension = (type: number, body: Buffer): Buffer => Buffer.concat([u16(type), vector16(body)]);
const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');

const serverNames = (names: readonly string[]): Buffer =>
  extension(0, vector16(...names.map((name) => Buffer.concat([Buffer.from([0]), vector16(ascii(name))]))));

/** A whole TLS record with a ClientHello for TLS 1.3 and 1.2. */
export function clientHello(hello: Hello): Buffer {
  return record(handshake(hello));
}

export function handshake(hello: Hello): Buffer {
  const extensions = [
    ...(hello.names === undefined ? [] : [serverNames(hello.names)]),
    ...(hello.again === undefined ? [] : [serverNames(hello.again)]),
    extension(43, Buffer.from([4, 3, 4, 3, 3])),
    extension(10, vector16(u16(0x1d), u16(0x17))),
    extension(13, vector16(u16(0x0403), u16(0x0804), u16(0x0401))),
    extension(51, vector16(u16(0x1d), vector16(Buffer.alloc(32, 9)))),
    ...(hello.alpn === undefined
      ? []
      : [
          extension(
            16,
            vector16(...hello.alpn.map((name) => Buffer.concat([Buffer.from([name.length]), ascii(name)]))),
          ),
        ]),
    // The outer form: type 0, HKDF-SHA256 with AES-128-GCM, a config id, an empty enc, the payload.
    ...(hello.ech === undefined
      ? []
      : [extension(0xfe0d, Buffer.concat([Buffer.from([0, 0, 1, 0, 1, 7]), vector16(), vector16(ascii(hello.ech))]))]),
    ...(hello.earlyData === true ? [extension(42, Buffer.alloc(0))] : []),
    ...(hello.padding === undefined ? [] : [extension(21, ascii(hello.padding))]),
  ];
  const body = Buffer.concat([
    u16(0x0303),
    Buffer.alloc(32, 7),
    Buffer.from([0]),
    vector16(u16(0x1301), u16(0x1302), u16(0xc02b), u16(0xc02f)),
    Buffer.from([1, 0]),
    vector16(...extensions),
  ]);
  return Buffer.concat([Buffer.from([1, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff]), body]);
}

/** A handshake message, or a part of one, in a record of its own. */
export function record(part: Buffer, type = 0x16): Buffer {
  return Buffer.concat([Buffer.from([type, 3, 1]), vector16(part)]);
}
