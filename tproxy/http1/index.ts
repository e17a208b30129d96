/** The HTTP/1 codec's public face: sans-I/O, strict RFC 9112 framing. See docs/adr/0001-own-http1-codec.md. */
export type * from './messages.ts';
