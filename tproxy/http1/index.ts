/** The HTTP/1 codec's public face: sans-I/O, strict RFC 9112 framing. See docs/adr/0001-own-http1-codec.md. */
export type * from './messages.ts';
export type {MalformedCode} from './codes.ts';
export {MALFORMED} from './codes.ts';
export type {CodecLimits} from './limits.ts';
export {DEFAULT_LIMITS} from './limits.ts';
export {createRequestParser} from './request.ts';
export {createResponseParser} from './response.ts';
export type {TargetParts} from './target.ts';
export {isAuthority, targetParts} from './target.ts';
export type {Headers} from './headers.ts';
export {connectionOptions, endToEnd, get, getAll, has, isField, listOf, wantsTrailers, without} from './headers.ts';
export type {RequestParts, ResponseParts} from './encode.ts';
export {
  CHUNK_FOOTER,
  chunkHeader,
  encodeChunk,
  encodeLastChunk,
  encodeRequestHead,
  encodeResponseHead,
  lastChunk,
  requestHead,
  responseHead,
  UnencodableError,
} from './encode.ts';
