/**
 * Reads the first thing a TLS client says: the ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2), over as many records as
 * the client cut it into (RFC 8446 §5.1). Stricter than most servers on purpose: where two readers could see two different
 * names in the same bytes, it is refused, for a `tls` rule lets the connection through on the name seen here.
 */
import {badHello, parseHelloBody} from './hello-body.ts';
import type {BadHello, ClientHello} from './hello-body.ts';

export type {BadHello, ClientHello, HelloError} from './hello-body.ts';

/**
 * The most bytes a ClientHello may take on the wire, record headers included. Real ones take 0.2-2 KB (up to 20 KB with
 * several post-quantum key shares or many pre-shared keys), so 64 KB refuses nobody and bounds what a peer makes us hold.
 */
export const MAX_CLIENT_HELLO_BYTES = 64 * 1024;
/** RFC 8446 §5.1: a plaintext record's fragment holds at most 2^14 bytes. */
const MAX_RECORD_BYTES = 1 << 14;
const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_HEADER_BYTES = 4;
/** First allocation for a hello that is gathered from pieces; grows by doubling, so a peer has to send what it makes us hold. */
const FIRST_BUFFER_BYTES = 2048;

const CONTENT_HANDSHAKE = 22;
const HANDSHAKE_CLIENT_HELLO = 1;

export type ClientHelloResult =
  /** `length`: how many bytes of the connection the ClientHello's records took; what follows is not part of it. */
  {readonly kind: 'done'; readonly hello: ClientHello; readonly length: number} | {readonly kind: 'more'} | BadHello;

const MORE: ClientHelloResult = {kind: 'more'};

/** Takes what arrived, however it was cut; total work is linear in the bytes. After 'done' or 'bad' it says the same for ever. */
export interface ClientHelloReader {
  push(chunk: Buffer): ClientHelloResult;
}

/**
 * Reads a ClientHello from the beginning of `bytes`. For bytes that come in pieces prefer createClientHelloReader:
 * calling this again with a longer buffer reads the same bytes again (at most MAX_CLIENT_HELLO_BYTES of them each time).
 */
export function parseClientHello(bytes: Buffer): ClientHelloResult {
  return createClientHelloReader().push(bytes);
}

export function createClientHelloReader(): ClientHelloReader {
  /** What was settled; null while bytes are missing. */
  let settled: ClientHelloResult | null = null;
  /** The record header being read, byte by byte. */
  const header = Buffer.alloc(RECORD_HEADER_BYTES);
  let headerBytes = 0;
  /** Bytes of the current record's fragment that are still to come. */
  let fragmentLeft = 0;
  /** The handshake message gathered so far: type, length, body. */
  let message: Buffer = Buffer.alloc(0);
  let messageBytes = 0;
  /** Length of the whole handshake message with its header; 0 until the header is there. */
  let messageNeeds = 0;
  let wireBytes = 0;

  /** One header byte; says what is wrong as soon as it can be known, so that no peer is waited for in vain. */
  function headerByte(byte: number): BadHello | null {
    header[headerBytes++] = byte;
    const first = wireBytes === headerBytes;
    switch (headerBytes) {
      case 1:
        if (byte === CONTENT_HANDSHAKE) return null;
        if (!first) return badHello('InterleavedRecord', `a record of type ${byte} inside the ClientHello`);
        // Settled with the third byte, whether this is an SSLv2 hello or something else altogether.
        return byte >= 0x80 ? null : badHello('NotTls', 'the first byte is no TLS handshake record');
      case 2:
        if (header[0] !== CONTENT_HANDSHAKE) return null;
        // RFC 8446 §5.1 tells servers to ignore the record's version; the major one has been 3 since SSL 3.0.
        return byte === 3 ? null : badHello(first ? 'NotTls' : 'BadRecord', `record version ${byte}.x`);
      case 3:
        if (header[0] === CONTENT_HANDSHAKE) return null;
        // SSLv2: two bytes of length with the high bit set, then msg_type 1 (RFC 5246 appendix E.2); RFC 6176 forbids it.
        return byte === HANDSHAKE_CLIENT_HELLO
          ? badHello('Sslv2Hello', 'an SSL 2.0 ClientHello (RFC 6176)')
          : badHello('NotTls', 'the first byte is no TLS handshake record');
      case RECORD_HEADER_BYTES: {
        fragmentLeft = header.readUInt16BE(3);
        // RFC 8446 §5.1: zero-length fragments of handshake types are forbidden.
        if (fragmentLeft === 0) return badHello('BadRecord', 'a handshake record without content');
        if (fragmentLeft > MAX_RECORD_BYTES) return badHello('BadRecord', `a record of ${fragmentLeft} bytes`);
        return null;
      }
      default:
        return null;
    }
  }

  function reserve(bytes: number): void {
    if (bytes <= message.length) return;
    const grown = Buffer.alloc(Math.max(bytes, FIRST_BUFFER_BYTES, message.length * 2));
    message.copy(grown, 0, 0, messageBytes);
    message = grown;
  }

  /** Looks at the handshake header once it is there. */
  function handshakeHeader(): BadHello | null {
    if (messageBytes > 0 && message[0] !== HANDSHAKE_CLIENT_HELLO)
      return badHello('NotClientHello', `handshake message ${message[0]} comes first`);
    if (messageNeeds === 0 && messageBytes >= HANDSHAKE_HEADER_BYTES) {
      messageNeeds = HANDSHAKE_HEADER_BYTES + message.readUIntBE(1, 3);
      if (messageNeeds + RECORD_HEADER_BYTES > MAX_CLIENT_HELLO_BYTES)
        return badHello('TooLarge', `a ClientHello of ${messageNeeds} bytes`);
    }
    return null;
  }

  function step(chunk: Buffer): ClientHelloResult {
    let at = 0;
    while (at < chunk.length) {
      if (wireBytes >= MAX_CLIENT_HELLO_BYTES)
        return badHello('TooLarge', `no whole ClientHello in ${wireBytes} bytes of records`);
      if (fragmentLeft === 0) {
        wireBytes++;
        const bad = headerByte(chunk[at++]!);
        if (bad) return bad;
        if (headerBytes === RECORD_HEADER_BYTES) headerBytes = 0;
        continue;
      }
      const take = Math.min(fragmentLeft, chunk.length - at, MAX_CLIENT_HELLO_BYTES - wireBytes);
      // The common case, a hello in one record in one chunk, is read in place.
      if (messageBytes === 0 && take === fragmentLeft) message = chunk.subarray(at, at + take);
      else {
        reserve(messageBytes + take);
        chunk.copy(message, messageBytes, at, at + take);
      }
      messageBytes += take;
      wireBytes += take;
      at += take;
      fragmentLeft -= take;
      const bad = handshakeHeader();
      if (bad) return bad;
      if (messageNeeds === 0 || messageBytes + fragmentLeft < messageNeeds) continue;
      // A client has nothing more to say before it was answered, and another message in the same record would belong to
      // other keys (RFC 8446 §5.1: messages before a key change end with their record).
      if (messageBytes + fragmentLeft > messageNeeds)
        return badHello('TrailingHandshake', 'more handshake bytes in the record that ends the ClientHello');
      if (messageBytes < messageNeeds) continue;
      const body = parseHelloBody(message.subarray(HANDSHAKE_HEADER_BYTES, messageNeeds));
      return 'kind' in body ? body : {kind: 'done', hello: body, length: wireBytes};
    }
    return MORE;
  }

  return {
    push(chunk) {
      if (settled) return settled;
      const result = step(chunk);
      if (result.kind !== 'more') {
        settled = result;
        message = Buffer.alloc(0);
      }
      return result;
    },
  };
}
