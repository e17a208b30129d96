/**
 * What a connection's first bytes are. Pure; called again with more bytes after 'more'.
 *
 * The bias, stated (after linkerd's detection): what could still become TLS or HTTP waits for the rest, and is refused if
 * the rest does not come; only what can be neither is opaque, and that at once. Opaque bytes are carried by tcp rules
 * alone, so a wrong 'opaque' opens nothing that a rule did not open, and a wrong 'more' closes. Time is the caller's:
 * nothing read in time is a server that speaks first (opaque), a part of TLS or HTTP in time is a refusal.
 *
 * 1. 0x16 is a TLS handshake record: ClientHello, or bad. Followed by anything but major version 3 it is opaque.
 * 2. The HTTP/2 preface, whole. What leaves it after the version is bad: no other protocol begins so.
 * 3. A known method and SP is HTTP/1, whatever follows: malformed requests are answered as such, not carried as bytes.
 * 4. An unknown token, SP and the beginning of a target is HTTP/1 if its line ends with an HTTP version.
 * 5. Everything else is opaque.
 */
import {isToken, TOKEN} from '../http1/chars.ts';
import {DEFAULT_LIMITS} from '../http1/limits.ts';
import {createClientHelloReader} from '../../pki/client-hello.ts';
import type {ClientHello, ClientHelloReader, ClientHelloResult, HelloError} from '../../pki/client-hello.ts';

export type Detection =
  /** `length`: how many bytes the ClientHello's records took. */
  | {readonly kind: 'tls'; readonly hello: ClientHello; readonly length: number}
  | {readonly kind: 'http1'}
  | {readonly kind: 'h2-preface'}
  | {readonly kind: 'opaque'}
  /** `of`: what was begun, so that the caller can tell silence from half a message. */
  | {readonly kind: 'more'; readonly of: 'tls' | 'http1' | 'nothing'}
  | {readonly kind: 'bad'; readonly of: 'tls'; readonly code: HelloError; readonly message: string}
  | {readonly kind: 'bad'; readonly of: 'http1'; readonly code: HttpStartError; readonly message: string};

export type HttpStartError = 'BadPreface' | 'BadRequestLine' | 'RequestLineTooLong';

const TLS_HANDSHAKE = 0x16;
const HTAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SP = 0x20;

/** RFC 9113 §3.4: what a client with prior knowledge begins with. */
const H2_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** As far as this it could be the request line of some HTTP/1 client; from here on only HTTP/2 can be meant. */
const H2_CERTAIN_BYTES = 'PRI * HTTP/2.0'.length;

/** Registered methods that clients really send (RFC 9110 §9, RFC 5789, RFC 4918, RFC 3253, RFC 5842). */
const KNOWN_METHODS: ReadonlySet<string> = new Set(
  (
    'GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY PURGE SEARCH REPORT ' +
    'PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK ACL BIND REBIND UNBIND MKCALENDAR MKACTIVITY CHECKOUT MERGE'
  ).split(' '),
);

/** Method, two SPs, target and version of the longest request line that the codec takes; beyond it nothing is waited for. */
const MAX_REQUEST_LINE_BYTES =
  DEFAULT_LIMITS.maxMethodBytes + DEFAULT_LIMITS.maxTargetBytes + ' '.length * 2 + 'HTTP/1.1\r\n'.length;

const MORE_NOTHING: Detection = {kind: 'more', of: 'nothing'};
const MORE_TLS: Detection = {kind: 'more', of: 'tls'};
const MORE_HTTP: Detection = {kind: 'more', of: 'http1'};
const HTTP1: Detection = {kind: 'http1'};
const H2: Detection = {kind: 'h2-preface'};
const OPAQUE: Detection = {kind: 'opaque'};

/** Says what `bytes`, all that was read of a connection so far, are. Looks at no more than a ClientHello or a request line. */
export function detect(bytes: Buffer): Detection {
  return new Detector().push(bytes);
}

/** The same for bytes that come in pieces: of a ClientHello none is read twice. */
export class Detector {
  /** All that came. */
  bytes: Buffer = Buffer.alloc(0);
  #hello: ClientHelloReader | null = null;

  push(chunk: Buffer): Detection {
    this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk]);
    const {bytes} = this;
    if (bytes.length === 0) return MORE_NOTHING;
    if (bytes[0] !== TLS_HANDSHAKE) return detectH2(bytes) ?? detectHttp1(bytes);
    this.#hello ??= createClientHelloReader();
    return detectTls(this.#hello.push(chunk));
  }
}

function detectTls(result: ClientHelloResult): Detection {
  switch (result.kind) {
    case 'done':
      return {kind: 'tls', hello: result.hello, length: result.length};
    case 'more':
      return MORE_TLS;
    case 'bad':
      if (result.code === 'NotTls') return OPAQUE;
      return {kind: 'bad', of: 'tls', code: result.code, message: result.message};
  }
}

/** null: not HTTP/2. */
function detectH2(bytes: Buffer): Detection | null {
  const size = Math.min(bytes.length, H2_PREFACE.length);
  let same = 0;
  while (same < size && bytes[same] === H2_PREFACE[same]) same++;
  if (same === H2_PREFACE.length) return H2;
  if (same === bytes.length) return MORE_HTTP;
  return same < H2_CERTAIN_BYTES
    ? null
    : badStart('BadPreface', 'begins like the HTTP/2 connection preface and goes on otherwise (RFC 9113 §3.4)');
}

function detectHttp1(bytes: Buffer): Detection {
  // The codec takes one empty line before a request (RFC 9112 §2.2), so it is looked behind.
  let from = 0;
  if (bytes[0] === CR) {
    if (bytes.length === 1) return MORE_HTTP;
    if (bytes[1] !== LF) return OPAQUE;
    if (bytes.length === 2) return MORE_HTTP;
    from = 2;
  }
  const limit = Math.min(bytes.length, from + DEFAULT_LIMITS.maxMethodBytes + 1);
  let to = from;
  while (to < limit && TOKEN[bytes[to]!] === 1) to++;
  const method = bytes.toString('latin1', from, to);
  if (to - from > DEFAULT_LIMITS.maxMethodBytes) return OPAQUE;
  if (to === bytes.length) return MORE_HTTP;
  if (bytes[to] !== SP) {
    // "GET\t/" and "GET\r\n" are requests to somebody, and never bytes of another protocol.
    const blank = bytes[to] === HTAB || bytes[to] === CR || bytes[to] === LF;
    return blank && KNOWN_METHODS.has(method)
      ? badStart('BadRequestLine', 'a method is followed by one SP (RFC 9112 §3)')
      : OPAQUE;
  }
  if (KNOWN_METHODS.has(method)) return HTTP1;
  return isToken(method) ? detectTarget(bytes, from, to + 1) : OPAQUE;
}

/** The prefixes that a target may begin with; lower-case, for schemes are compared so (RFC 3986 §3.1). */
const TARGET_STARTS = ['/', '*', 'http://', 'https://'];

/** Behind an unknown token and SP: `FOO / HTTP/1.1` is HTTP, `EHLO mail.test` and `USER root` are not, and `LIST /pub` is not either. */
function detectTarget(bytes: Buffer, lineStart: number, from: number): Detection {
  const begins = bytes.toString('latin1', from, Math.min(bytes.length, from + 'https://'.length)).toLowerCase();
  const starts = TARGET_STARTS.some((start) => begins.startsWith(start) || start.startsWith(begins));
  if (!starts) return OPAQUE;
  const end = bytes.subarray(from, lineStart + MAX_REQUEST_LINE_BYTES).indexOf(LF);
  if (end < 0) {
    if (bytes.length - lineStart < MAX_REQUEST_LINE_BYTES) return MORE_HTTP;
    return badStart('RequestLineTooLong', 'begins like a request line and does not end within the limit (RFC 9112 §3)');
  }
  // A line that names the protocol is meant as HTTP, however malformed: the codec says what is wrong with it.
  return bytes.subarray(from, from + end).includes('HTTP/') ? HTTP1 : OPAQUE;
}

function badStart(code: HttpStartError, message: string): Detection {
  return {kind: 'bad', of: 'http1', code, message: `${code}: ${message}`};
}
