/**
 * Writes messages. Everything is judged again on the way out, whoever it came from (a mutation, a filter, an HTTP/2 leg):
 * a CR, LF, NUL or a character above U+00FF in any part would end a line early and begin a message of the writer's
 * choice (request and response splitting, CVE-2018-12116). The encoders throw then, and nothing is written.
 */
import {allOf, isToken, TARGET, VALUE} from './chars.ts';
import {isField, type Headers} from './headers.ts';
import type {Framing} from './messages.ts';
import {isAuthority, targetForm} from './target.ts';
import {isForbiddenTrailer} from './trailers.ts';
import {isProtocolList} from './upgrade.ts';

/** A part that would split or misframe the message. `part` says which; its text is not repeated. */
export class UnencodableError extends Error {
  readonly part: string;
  constructor(part: string, why: string) {
    super(`cannot be written as HTTP/1: ${part}: ${why}`);
    this.name = 'UnencodableError';
    this.part = part;
  }
}

export interface RequestParts {
  readonly method: string;
  /** In any of the four forms. */
  readonly target: string;
  /** The Host line. For CONNECT its port is written too. */
  readonly authority: string;
  /** End-to-end lines (see endToEnd), and Proxy-Authorization for a parent proxy. None of those written here. */
  readonly headers: Headers;
  readonly framing: Exclude<Framing, {readonly kind: 'close'}>;
  /** Default false: the connection is kept. */
  readonly close?: boolean;
  /** Ask for this protocol. */
  readonly upgrade?: string | null;
  /** Say `TE: trailers`. */
  readonly wantsTrailers?: boolean;
  readonly expectContinue?: boolean;
}

export interface ResponseParts {
  /** 100 to 599. */
  readonly status: number;
  /** Default: none. It is for people; nothing may depend on it (RFC 9112 §4). */
  readonly reasonPhrase?: string;
  /** End-to-end lines (see endToEnd). With framing `none`, a Content-Length for HEAD and 304 may be among them. */
  readonly headers: Headers;
  /** `close` says `Connection: close` by itself. Never `chunked` to an HTTP/1.0 client: it would show the chunks. */
  readonly framing: Framing;
  /** Default null: nothing is said, so an HTTP/1.1 client keeps the connection. `keep-alive` is for HTTP/1.0 clients. */
  readonly connection?: 'close' | 'keep-alive' | null;
  /** With 101: the protocol. */
  readonly upgrade?: string | null;
}

/** Lines that the encoders write themselves: a second one would be read instead, or beside. */
function isOwn(name: string): boolean {
  switch (name.length) {
    case 2:
      return isField(name, 'te');
    case 4:
      return isField(name, 'host');
    case 6:
      return isField(name, 'expect');
    case 7:
      return isField(name, 'upgrade');
    case 10:
      return isField(name, 'connection') || isField(name, 'keep-alive');
    case 14:
      return isField(name, 'content-length');
    case 16:
      return isField(name, 'proxy-connection');
    case 17:
      return isField(name, 'transfer-encoding');
    default:
      return false;
  }
}

/** A request's head, Latin-1. Throws UnencodableError. */
export function requestHead(parts: RequestParts): string {
  const {method, target, authority, framing} = parts;
  if (!isToken(method)) throw new UnencodableError('method', 'not a token');
  if (target === '' || !allOf(TARGET, target)) throw new UnencodableError('target', 'not visible ASCII');
  if (targetForm(method, target) === null) throw new UnencodableError('target', 'a form that the method may not have');
  if (!isAuthority(authority, 0, authority.length, 'optional'))
    throw new UnencodableError('authority', 'not host[:port]');
  const upgrade = parts.upgrade ?? null;
  if ((upgrade !== null || method === 'CONNECT') && framing.kind !== 'none') {
    throw new UnencodableError('framing', 'no body with an upgrade or CONNECT');
  }
  // RFC 9112 §3.2: Host is the first line.
  let text = `${method} ${target} HTTP/1.1\r\nHost: ${authority}\r\n${fieldLines(parts.headers, false)}${framingLine(framing)}`;
  const options: string[] = [];
  if (parts.close === true) options.push('close');
  if (upgrade !== null) {
    text += upgradeLine(upgrade);
    options.push('Upgrade');
  }
  if (parts.wantsTrailers === true) {
    text += 'TE: trailers\r\n';
    // RFC 9110 §10.1.4: TE must be named, lest a proxy behind us passes it on.
    options.push('TE');
  }
  if (parts.expectContinue === true) text += 'Expect: 100-continue\r\n';
  if (options.length > 0) text += `Connection: ${options.join(', ')}\r\n`;
  return `${text}\r\n`;
}

/** ... as bytes. */
export const encodeRequestHead = (parts: RequestParts): Buffer => Buffer.from(requestHead(parts), 'latin1');

/** A response's head, final or 1xx, Latin-1. Throws UnencodableError. */
export function responseHead(parts: ResponseParts): string {
  const {status, framing} = parts;
  if (!Number.isInteger(status) || status < 100 || status > 599)
    throw new UnencodableError('status', 'not from 100 to 599');
  const reason = parts.reasonPhrase ?? '';
  if (!allOf(VALUE, reason)) throw new UnencodableError('reason phrase', 'control characters');
  const bodiless = status < 200 || status === 204 || status === 304;
  if (bodiless && framing.kind !== 'none') throw new UnencodableError('framing', 'a body with a status that has none');
  const upgrade = parts.upgrade ?? null;
  if ((status === 101) !== (upgrade !== null)) throw new UnencodableError('upgrade', '101 and a protocol go together');

  const mayTellLength = framing.kind === 'none' && status >= 200 && status !== 204;
  let text = `HTTP/1.1 ${status} ${reason}\r\n${fieldLines(parts.headers, mayTellLength)}${framingLine(framing)}`;
  if (upgrade !== null) text += `${upgradeLine(upgrade)}Connection: Upgrade\r\n`;
  else if (framing.kind === 'close' || parts.connection === 'close') text += 'Connection: close\r\n';
  else if (parts.connection === 'keep-alive') text += 'Connection: keep-alive\r\n';
  return `${text}\r\n`;
}

/** ... as bytes. */
export const encodeResponseHead = (parts: ResponseParts): Buffer => Buffer.from(responseHead(parts), 'latin1');

/** What goes before the data of one chunk; CHUNK_FOOTER goes after it. Throws for 0, which would end the body. */
export function chunkHeader(bytes: number): string {
  if (!Number.isSafeInteger(bytes) || bytes <= 0) throw new UnencodableError('chunk', 'size is not above 0');
  return `${bytes.toString(16)}\r\n`;
}

/** What goes after the data of each chunk. */
export const CHUNK_FOOTER = '\r\n';

/** A whole chunk in one buffer; its data is copied. */
export function encodeChunk(chunk: Buffer): Buffer {
  return Buffer.concat([Buffer.from(chunkHeader(chunk.length)), chunk, Buffer.from(CHUNK_FOOTER)]);
}

/** The end of a chunked body, with trailers, Latin-1. Throws UnencodableError for what may not be one. */
export function lastChunk(trailers: Headers = []): string {
  if (trailers.length === 0) return '0\r\n\r\n';
  for (let i = 0; i < trailers.length; i += 2) {
    if (isForbiddenTrailer(trailers[i]!.toLowerCase()))
      throw new UnencodableError('trailer', 'a field that is no trailer');
  }
  return `0\r\n${fieldLines(trailers, false)}\r\n`;
}

/** ... as bytes. */
export const encodeLastChunk = (trailers: Headers = []): Buffer => Buffer.from(lastChunk(trailers), 'latin1');

function fieldLines(headers: Headers, mayTellLength: boolean): string {
  let text = '';
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!;
    const value = headers[i + 1];
    if (value === undefined) throw new UnencodableError('field', 'a name without a value');
    if (!isToken(name)) throw new UnencodableError('field name', 'not a token');
    if (!allOf(VALUE, value))
      throw new UnencodableError('field value', 'control characters, or characters above U+00FF');
    if (isOwn(name) && !(mayTellLength && isField(name, 'content-length') && isDigits(value))) {
      throw new UnencodableError('field', 'framing and connection fields are written by the encoder');
    }
    text += `${name}: ${value}\r\n`;
  }
  return text;
}

function framingLine(framing: Framing): string {
  switch (framing.kind) {
    case 'none':
    case 'close':
      return '';
    case 'length':
      if (!Number.isSafeInteger(framing.bytes) || framing.bytes < 0)
        throw new UnencodableError('length', 'not a number of bytes');
      return `Content-Length: ${framing.bytes}\r\n`;
    case 'chunked':
      return 'Transfer-Encoding: chunked\r\n';
  }
}

function upgradeLine(protocol: string): string {
  if (!isProtocolList([protocol])) throw new UnencodableError('upgrade', 'not a protocol name');
  return `Upgrade: ${protocol}\r\n`;
}

function isDigits(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 0x30 || text.charCodeAt(i) > 0x39) return false;
  return text.length > 0;
}
