/** The requests in the bytes of a `raw` step, where they are plain and well-formed: all else is the codec's to judge. */
import type {HttpRequest} from '../../../../policy/index.ts';
import type {RawAction} from '../../format/case.ts';
import {headerMap} from '../../observation.ts';

export type RawReading =
  /** One after the other on one connection. */
  | {readonly kind: 'http'; readonly requests: readonly HttpRequest[]}
  /** No protocol that anybody looks into. */
  | {readonly kind: 'opaque'}
  /** HTTP or TLS in the making, but not such that a decision is asked for: what is wrong, in words. */
  | {readonly kind: 'odd'; readonly why: string};

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Visible ASCII and what RFC 9110 5.5 calls obs-text, space and tab inside. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Reads the pieces as one text; where they were cut is a matter for sockets. */
export function readRaw(action: RawAction): RawReading {
  let text = action.send.map((piece) => (piece.kind === 'bytes' ? piece.latin1 : '')).join('');
  if (action.tls === null && text.startsWith('\x16\x03'))
    return {kind: 'odd', why: 'a ClientHello written out in bytes is read by its parser'};
  if (!/^[A-Za-z]+ /.test(text)) return {kind: 'opaque'};
  if (!/^[^\r\n]* HTTP\/\d/.test(text))
    return {kind: 'odd', why: 'the bytes begin like HTTP and are not: the codec judges them'};
  const requests: HttpRequest[] = [];
  while (text !== '') {
    const one = readRequest(text);
    if (typeof one === 'string') return {kind: 'odd', why: `${one}: the codec judges it`};
    requests.push(one.request);
    // What follows an upgrade is another protocol.
    if (one.request.upgrade.length > 0) break;
    text = one.rest;
  }
  return {kind: 'http', requests};
}

function readRequest(text: string): {request: HttpRequest; rest: string} | string {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return 'the head of the request does not end';
  const lines = text.slice(0, end).split('\r\n');
  const [method = '', target = '', version = '', more] = lines[0]!.split(' ');
  if (more !== undefined || !TOKEN.test(method) || !/^HTTP\/1\.[01]$/.test(version))
    return 'the request line is malformed';
  if (!/^[\x21-\x7e]+$/.test(target)) return 'the request target has bytes that no target has';
  const headers: string[] = [];
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0));
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '');
    if (!TOKEN.test(name) || !VALUE.test(value)) return 'a header line is malformed';
    headers.push(name, value);
  }
  const named = headerMap(headers);
  const hosts = named.get('host') ?? [];
  if (hosts.length !== 1 && !(version === 'HTTP/1.0' && hosts.length === 0)) return 'a request has one Host';
  const body = readBody(named, text.slice(end + 4));
  if (typeof body === 'string') return body;
  const split = splitTarget(method, target);
  if (split === null) return 'the request target is malformed';
  const connection = (named.get('connection') ?? [])
    .join(',')
    .toLowerCase()
    .split(',')
    .map((token) => token.trim());
  const upgrade = connection.includes('upgrade')
    ? (named.get('upgrade') ?? [])
        .join(',')
        .toLowerCase()
        .split(',')
        .map((token) => token.trim())
        .filter(Boolean)
    : [];
  return {
    request: {
      version: version === 'HTTP/1.0' ? '1.0' : '1.1',
      method,
      ...split,
      host: hosts[0] ?? null,
      upgrade,
      headers,
    },
    rest: body.rest,
  };
}

function readBody(headers: ReadonlyMap<string, readonly string[]>, rest: string): {rest: string} | string {
  const length = headers.get('content-length');
  const coding = headers.get('transfer-encoding');
  if (coding !== undefined) {
    if (length !== undefined || coding.join(',').toLowerCase() !== 'chunked') return 'the framing is ambiguous';
    // Chunked bodies are written whole in a case: extensions and trailers are for the codec.
    const whole = /^(?:([0-9a-fA-F]+)\r\n[^]*?\r\n)*?0\r\n\r\n/.exec(rest);
    return whole === null ? 'the chunked body is not plain' : {rest: rest.slice(whole[0].length)};
  }
  if (length === undefined) return {rest};
  if (length.length !== 1 || !/^\d{1,9}$/.test(length[0]!)) return 'the framing is ambiguous';
  const bytes = Number(length[0]);
  return rest.length < bytes ? 'the body does not end' : {rest: rest.slice(bytes)};
}

function splitTarget(
  method: string,
  target: string,
): Pick<HttpRequest, 'scheme' | 'authority' | 'path' | 'query'> | null {
  if (method === 'CONNECT') return {scheme: null, authority: target, path: '', query: null};
  if (target === '*') return {scheme: null, authority: null, path: '*', query: null};
  const absolute = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)(?:\?(.*))?$/.exec(target);
  if (absolute !== null) {
    const path = absolute[3] === '' ? '/' : absolute[3]!;
    return {scheme: absolute[1]!.toLowerCase(), authority: absolute[2]!, path, query: absolute[4] ?? null};
  }
  if (!target.startsWith('/') || target.includes('#')) return null;
  const at = target.indexOf('?');
  return {
    scheme: null,
    authority: null,
    path: at === -1 ? target : target.slice(0, at),
    query: at === -1 ? null : target.slice(at + 1),
  };
}
