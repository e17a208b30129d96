/** A request head as node:http2 hands it over: taken apart, and judged where nghttp2 leaves it to us. */
import type {HeaderLines} from '../../policy/index.ts';
import {endToEnd, get} from '../http1/index.ts';
import {isGrpc} from './answers.ts';
import type {RequestMessage} from './client-stream.ts';

export type H2Head =
  {readonly kind: 'head'; readonly message: RequestMessage} | {readonly kind: 'bad'; readonly message: string};

/** RFC 9113 §8.2.2: of an HTTP/1 connection only. nghttp2 refuses them too; a build of it that does not must not matter. */
const FORBIDDEN: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  // Read as framing by servers that make variables of names (RFC 3875 §4.1.18), once they are lines of HTTP/1.
  'transfer_encoding',
  'content_length',
]);

/** `raw`: name, value, ... as they came. `ended`: the stream has no body. */
export function readH2Head(raw: HeaderLines, ended: boolean): H2Head {
  let method: string | null = null;
  let scheme: string | null = null;
  let authority: string | null = null;
  let target: string | null = null;
  let protocol: string | null = null;
  let host: string | null = null;
  let length: number | null = null;
  let cookie = -1;
  let wantsTrailers = false;
  let expectContinue = false;
  const headers: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    const value = raw[i + 1]!;
    // A line of its own making in HTTP/1 (CVE-2018-12116 and its kin).
    if (!isFieldText(value)) return bad('A header value holds control characters.');
    switch (name) {
      case ':method':
        method = value;
        continue;
      case ':scheme':
        scheme = value.toLowerCase();
        continue;
      case ':authority':
        authority = value;
        continue;
      case ':path':
        target = value;
        continue;
      case ':protocol':
        protocol = value.toLowerCase();
        continue;
      case 'host':
        if (host !== null) return bad('More than one Host.');
        host = value;
        continue;
      case 'content-length': {
        const bytes = digits(value);
        if (bytes === null || (length !== null && length !== bytes))
          return bad('A Content-Length that is no number, or two that differ.');
        length = bytes;
        continue;
      }
      case 'te':
        if (value.toLowerCase() !== 'trailers') return bad('TE may say nothing but trailers in HTTP/2.');
        wantsTrailers = true;
        continue;
      case 'expect':
        if (value.toLowerCase() !== '100-continue') return bad('Expect asks for something other than 100-continue.');
        expectContinue = true;
        continue;
      case 'cookie':
        // RFC 9113 §8.2.3: the crumbs are one line outside of HTTP/2, and to the rules.
        if (cookie < 0) {
          cookie = headers.length + 1;
          headers.push(name, value);
        } else headers[cookie] += `; ${value}`;
        continue;
      default:
        if (FORBIDDEN.has(name)) return bad(`${name} has no place in HTTP/2.`);
        if (name.startsWith(':')) return bad('An unknown pseudo-header.');
        headers.push(name, value);
    }
  }
  if (method === null || method === '') return bad('No method.');
  const connect = method === 'CONNECT';
  if (!connect && (target === null || !(target.startsWith('/') || (target === '*' && method === 'OPTIONS'))))
    return bad('The path must begin with a slash.');
  if (target !== null && !isTarget(target)) return bad('The path holds characters that no request target has.');
  // Here the declared length is known to be wrong before anything could be sent on.
  if (ended && length !== null && length !== 0) return bad('Content-Length promises a body, and there is none.');
  const query = target === null ? -1 : target.indexOf('?');
  // RFC 8441 §4: an extended CONNECT is to HTTP/1 what a GET with Upgrade is, and is judged and sent as one.
  const upgrade = protocol === null ? [] : [protocol];
  return {
    kind: 'head',
    message: {
      http: {
        version: '2',
        method: connect && protocol !== null ? 'GET' : method,
        scheme,
        authority,
        host,
        path: target === null ? '' : query < 0 ? target : target.slice(0, query),
        query: target === null || query < 0 ? null : target.slice(query + 1),
        upgrade,
        headers,
      },
      headers: endToEnd(headers),
      body:
        ended || protocol !== null
          ? {kind: 'none'}
          : length !== null
            ? {kind: 'length', bytes: length}
            : {kind: 'chunked'},
      wantsTrailers,
      expectContinue,
      grpc: isGrpc(get(headers, 'content-type') ?? undefined),
    },
  };
}

function bad(message: string): H2Head {
  return {kind: 'bad', message};
}

function digits(text: string): number | null {
  if (text.length === 0 || text.length > 15) return null;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 0x30 || text.charCodeAt(i) > 0x39) return null;
  return Number(text);
}

function isFieldText(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) return false;
  }
  return true;
}

function isTarget(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    // Visible ASCII, and no fragment: a server may read on where a rule stopped.
    if (code <= 0x20 || code >= 0x7f || code === 0x23) return false;
  }
  return true;
}
