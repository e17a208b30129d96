/** What the HTTP/1 parsers say and the encoders take. */
import type {MalformedCode} from './codes.ts';

/** Header or trailer lines in order: name, value, name, value ... Letter case kept; values Latin-1, surrounding white space removed. */
export type HeaderLines = string[];

/** How a message body is delimited (RFC 9112 §6.3). */
export type Framing =
  | {readonly kind: 'none'}
  | {readonly kind: 'length'; readonly bytes: number}
  | {readonly kind: 'chunked'}
  /** A response body that ends with the connection; never a request's. */
  | {readonly kind: 'close'};

export interface RequestHead {
  readonly method: string;
  /** The request target as it came. */
  readonly target: string;
  readonly form: 'origin' | 'absolute' | 'authority' | 'asterisk';
  readonly version: '1.0' | '1.1';
  readonly headers: HeaderLines;
  /** The one Host field's value as written; null where there is none (HTTP/1.0 only). */
  readonly host: string | null;
  readonly framing: Framing;
  /** Whether the client means to send another request on this connection (RFC 9112 §9.3). */
  readonly keepAlive: boolean;
  /** Upgrade protocols, lower-case, where Connection names upgrade too; else empty. */
  readonly upgrade: readonly string[];
  readonly expectContinue: boolean;
  /** Expect holds something other than 100-continue alone: 417 (RFC 9110 §10.1.1). */
  readonly expectUnknown: boolean;
}

export interface ResponseHead {
  readonly status: number;
  readonly reasonPhrase: string;
  readonly version: '1.0' | '1.1';
  readonly headers: HeaderLines;
  readonly framing: Framing;
  readonly keepAlive: boolean;
}

/** Why bytes are no message. `code` is stable and names the RFC's rule; `at` is the offset in the connection's bytes. */
export interface Malformed {
  readonly kind: 'bad';
  readonly code: MalformedCode;
  readonly message: string;
  readonly at: number;
}

/** The next thing a request parser has to say: of each message one `head`, its `body` chunks, one `end`, also where there is
 * no body. Chunks are views of what was fed, never copies. */
export type RequestEvent =
  | {readonly kind: 'more'}
  | {readonly kind: 'head'; readonly head: RequestHead}
  | {readonly kind: 'body'; readonly chunk: Buffer}
  | {readonly kind: 'end'; readonly trailers: HeaderLines}
  | Malformed;

/** Informational heads (1xx but 101) come as `informational`, a limited number, before `head`. After a 101 or a CONNECT's 2xx
 * come `head`, `end` and then only `more`: `rest()` holds the tunnel's first bytes. */
export type ResponseEvent =
  | {readonly kind: 'more'}
  | {readonly kind: 'informational'; readonly head: ResponseHead}
  | {readonly kind: 'head'; readonly head: ResponseHead}
  | {readonly kind: 'body'; readonly chunk: Buffer}
  | {readonly kind: 'end'; readonly trailers: HeaderLines}
  | Malformed;

/**
 * Pull parser of one direction of a connection: feed it what arrived, then call next() until it says 'more'.
 * One message after another (keep-alive, pipelining); after 'bad' it says 'bad' for ever. After the 'end' of a message
 * that closes the connection the rest is dropped unread (RFC 9112 §9.6). After the 'end' of a CONNECT or an upgrade,
 * call next() only once the answer is known to be no tunnel: it takes what follows for a request.
 */
export interface RequestParser {
  feed(chunk: Buffer): void;
  next(): RequestEvent;
  /** The client half-closed: true where that is between messages, false in the middle of one. */
  atBoundary(): boolean;
  /** Takes the bytes fed and not consumed, for a tunnel after CONNECT or Upgrade; the parser says 'more' for ever after. */
  rest(): Buffer;
}

export interface ResponseParser {
  /**
   * Say what was asked when it is sent, before the response's first byte: HEAD and CONNECT change its framing (RFC 9112 §6.3),
   * `upgrade` whether 101 was asked for. Once for each response: bytes that came before it make the parser 'bad'
   * (UnaskedResponse); in the middle of a response it throws.
   */
  expect(request: {readonly method: string; readonly upgrade: boolean}): void;
  feed(chunk: Buffer): void;
  next(): ResponseEvent;
  /**
   * The server half-closed: the end of a 'close' framed body ('end'), nothing ('more'), or a truncated message ('bad', with
   * `NoResponse` where not a byte of an expected response came). Call next() until 'more' first; where finish() still says
   * 'body', call next() on until 'end' or 'bad'.
   */
  finish(): ResponseEvent;
  rest(): Buffer;
}
