/** Reads HTTP/1 responses off a byte stream, as far as they have come. */
import {headerMap, type Answer} from '../observation.ts';

export type Response = Extract<Answer, {kind: 'response'}>;

export interface Responses {
  /** Final ones, in order; interim 1xx are left out, 101 is final. */
  readonly whole: readonly Response[];
  /** One whose head is there and whose body is not yet. */
  readonly partial: Response | null;
  /** Bytes after the last whole response that are no part of one: a tunnel's, or what has not come yet. */
  readonly rest: Buffer;
  /** The last response runs until the connection ends, or is a 101: no further one can follow. */
  readonly last: boolean;
}

/**
 * `methods`: what was asked, in order, for the framing of answers to HEAD and CONNECT.
 * `ended`: the connection is closed, so a body without a length is whole.
 */
export function readResponses(bytes: Buffer, methods: readonly string[], ended: boolean): Responses {
  const whole: Response[] = [];
  let rest = bytes;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    const head = end === -1 ? null : readHead(rest.subarray(0, end).toString('latin1'));
    if (head === null) return {whole, partial: null, rest, last: false};
    const after = rest.subarray(end + 4);
    if (head.status < 200 && head.status !== 101) {
      rest = after;
      continue;
    }
    const response = (body: Buffer): Response => ({kind: 'response', ...head, body: body.toString('utf8')});
    if (head.status === 101)
      return {whole: [...whole, response(Buffer.alloc(0))], partial: null, rest: after, last: true};
    const method = methods[whole.length] ?? 'GET';
    const body = readBody(head, method, after, ended);
    if (body === 'more') return {whole, partial: response(after), rest, last: false};
    whole.push(response(body.body));
    if (body.last) return {whole, partial: null, rest: body.rest, last: true};
    rest = body.rest;
  }
}

function readHead(text: string): {status: number; headers: ReadonlyMap<string, readonly string[]>} | null {
  const [first = '', ...lines] = text.split('\r\n');
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1];
  if (status === undefined) return null;
  const flat = lines.flatMap((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, Math.max(colon, 0)), line.slice(colon + 1).trim()];
  });
  return {status: Number(status), headers: headerMap(flat)};
}

type Body = {readonly body: Buffer; readonly rest: Buffer; readonly last: boolean} | 'more';
const NONE = Buffer.alloc(0);

function readBody(
  head: {status: number; headers: ReadonlyMap<string, readonly string[]>},
  method: string,
  after: Buffer,
  ended: boolean,
): Body {
  if (method === 'CONNECT' && head.status < 300) return {body: NONE, rest: after, last: true};
  if (method === 'HEAD' || head.status === 204 || head.status === 304) return {body: NONE, rest: after, last: false};
  if (head.headers.get('transfer-encoding')?.join(',').toLowerCase().includes('chunked')) return readChunks(after);
  const length = head.headers.get('content-length')?.[0];
  if (length !== undefined) {
    const size = Number(length);
    return after.length < size ? 'more' : {body: after.subarray(0, size), rest: after.subarray(size), last: false};
  }
  return ended ? {body: after, rest: NONE, last: true} : 'more';
}

function readChunks(bytes: Buffer): Body {
  const chunks: Buffer[] = [];
  let at = 0;
  for (;;) {
    const line = bytes.indexOf('\r\n', at);
    if (line === -1) return 'more';
    const size = Number.parseInt(bytes.subarray(at, line).toString('latin1'), 16);
    at = line + 2;
    if (size === 0) {
      // Trailers, then an empty line.
      const end = bytes.subarray(line).indexOf('\r\n\r\n');
      return end === -1 ? 'more' : {body: Buffer.concat(chunks), rest: bytes.subarray(line + end + 4), last: false};
    }
    if (!(size > 0) || bytes.length < at + size + 2) return 'more';
    chunks.push(bytes.subarray(at, at + size));
    at += size + 2;
  }
}
