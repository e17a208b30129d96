import type {MalformedCode} from './codes.ts';
import {MAX_CONTENT_LENGTH_DIGITS} from './limits.ts';
import type {Framing} from './messages.ts';

/** What the head says about its body, before it is known whether that is allowed. */
export interface Announced {
  readonly version: '1.0' | '1.1';
  readonly contentLength: string | null;
  readonly transferEncoding: string | null;
}

export type FramingVerdict =
  {readonly kind: 'framed'; readonly framing: Framing} | {readonly kind: 'refused'; readonly code: MalformedCode};

export const NO_BODY: Framing = {kind: 'none'};
const CHUNKED: Framing = {kind: 'chunked'};
const CLOSE: Framing = {kind: 'close'};

const FRAMED_NONE: FramingVerdict = {kind: 'framed', framing: NO_BODY};
const FRAMED_CHUNKED: FramingVerdict = {kind: 'framed', framing: CHUNKED};
const FRAMED_CLOSE: FramingVerdict = {kind: 'framed', framing: CLOSE};

function refused(code: MalformedCode): FramingVerdict {
  return {kind: 'refused', code};
}

/** A Content-Length value; null where it is none. "5, 5" and "+5" are none (RFC 9110 §8.6 lets us refuse the former). */
export function contentLength(value: string): number | null {
  if (value.length === 0 || value.length > MAX_CONTENT_LENGTH_DIGITS) return null;
  let bytes = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return null;
    bytes = bytes * 10 + digit;
  }
  return bytes;
}

/** What both directions have in common (RFC 9112 §6.1-6.3); null where nothing was announced. */
function announced(head: Announced): FramingVerdict | null {
  const {transferEncoding} = head;
  if (transferEncoding !== null) {
    // One of the two was not written for whoever reads the other: the classic of smuggling (RFC 9112 §11.2).
    if (head.contentLength !== null) return refused('LengthAndEncoding');
    if (head.version === '1.0') return refused('EncodingInHttp10');
    // Exactly "chunked": not "gzip, chunked", "chunked, chunked", ",chunked" or "chunked;q=1", which are read in several ways.
    if (transferEncoding.toLowerCase() !== 'chunked') return refused('UnsupportedCoding');
    return FRAMED_CHUNKED;
  }
  if (head.contentLength === null) return null;
  const bytes = contentLength(head.contentLength);
  if (bytes === null) {
    return refused(head.contentLength.includes(',') ? 'DuplicateContentLength' : 'BadContentLength');
  }
  return {kind: 'framed', framing: {kind: 'length', bytes}};
}

/** Methods whose HTTP/1.0 requests have a body; without a length nobody can say where it ends. */
const HTTP10_BODY_METHODS: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/** How a request's body is delimited. A request without either field has none (RFC 9112 §6.3 rule 7). */
export function requestFraming(head: Announced & {readonly method: string}): FramingVerdict {
  const found = announced(head);
  if (found === null) {
    return head.version === '1.0' && HTTP10_BODY_METHODS.has(head.method) ? refused('LengthRequired') : FRAMED_NONE;
  }
  if (found.kind === 'refused' || head.method !== 'CONNECT') return found;
  return isEmpty(found.framing) ? FRAMED_NONE : refused('ConnectWithBody');
}

/** How a response's body is delimited, by what was asked (RFC 9112 §6.3, in its order). */
export function responseFraming(head: Announced & {readonly status: number}, method: string): FramingVerdict {
  const found = announced(head);
  if (found?.kind === 'refused') return found;
  // 1. These never have one. Content-Length in answers to HEAD and in 304 tells what GET would have got.
  if (method === 'HEAD' || head.status === 304) return FRAMED_NONE;
  // 2. The tunnel begins; both fields are ignored (RFC 9110 §9.3.6).
  if (method === 'CONNECT' && head.status >= 200 && head.status < 300) return FRAMED_NONE;
  // 1. again: a server must send neither field here (RFC 9110 §8.6, RFC 9112 §6.1). "Content-Length: 0" says the same
  // as nothing and is common; anything else is a body that some readers would see and others would not.
  if (head.status < 200 || head.status === 204) {
    return found === null || isEmpty(found.framing) ? FRAMED_NONE : refused('BodyNotAllowed');
  }
  // 8. Neither field: it ends with the connection.
  return found ?? FRAMED_CLOSE;
}

function isEmpty(framing: Framing): boolean {
  return framing.kind === 'none' || (framing.kind === 'length' && framing.bytes === 0);
}
