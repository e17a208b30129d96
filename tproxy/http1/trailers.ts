/**
 * What may not be a trailer (RFC 9110 §6.5.1): a server that merges trailers into the header fields would see a request
 * that no rule has judged, or a client a response that it did not get.
 */
const FORBIDDEN: ReadonlySet<string> = new Set([
  // Framing and routing.
  'connection',
  'content-length',
  'host',
  'http2-settings',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  // Authentication and state.
  'authorization',
  'cookie',
  'set-cookie',
  'www-authenticate',
  // Request modifiers and preconditions.
  'cache-control',
  'expect',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'max-forwards',
  'pragma',
  'range',
  // What the content is.
  'content-encoding',
  'content-range',
  'content-type',
  // How to deal with the response.
  'age',
  'alt-svc',
  'location',
  'retry-after',
  'vary',
  // Who asks, and what is asked for, as servers behind gateways believe it (POLICY.md "Readings").
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
]);

/** Whether a message with such a trailer is refused. `name` is lower-case. */
export function isForbiddenTrailer(name: string): boolean {
  return FORBIDDEN.has(name) || name.startsWith('proxy-');
}
