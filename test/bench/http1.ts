/** The codec beside llhttp, in one process: parsing a request's head, a response's head, a chunked body; writing a head. */
import {createRequestParser, createResponseParser, encodeRequestHead, endToEnd} from '../../tproxy/http1/index.ts';
import type {Table} from './tables.ts';

/** What is measured before, so that the compiler is done, and how long each figure is taken. */
const WARM_UP_MS = 200;
const MEASURE_MS = 500;
/** Each figure is the best of these: what else runs on the machine only makes it worse. */
const ROUNDS = 3;

const GET_HEAD = Buffer.from(
  'GET /solutions-public-assets/adtech/dfp_networkimpressions.py?alt=media HTTP/1.1\r\n' +
    'Host: storage.googleapis.com\r\n' +
    'User-Agent: python-requests/2.32.3\r\n' +
    'Accept-Encoding: gzip, deflate\r\n' +
    'Accept: */*\r\n' +
    'Connection: keep-alive\r\n' +
    'X-Request-Id: 3b7d1c1e-5f0a-4b5c-9a43-3f1c2a9f1b77\r\n\r\n',
  'latin1',
);
const RESPONSE = Buffer.from(
  'HTTP/1.1 200 OK\r\n' +
    'Content-Type: text/plain; charset=utf-8\r\n' +
    'ETag: "33a64df551425fcc55e4d42a148795d9f25f89d4"\r\n' +
    'Cache-Control: public, max-age=3600\r\n' +
    'Date: Sat, 21 Nov 2026 10:00:00 GMT\r\n' +
    'Server: UploadServer\r\n' +
    'Content-Length: 13\r\n\r\nHello, world!',
  'latin1',
);
/** 64 chunks of 1 KiB. */
const CHUNKED = Buffer.concat([
  Buffer.from('POST /upload HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n', 'latin1'),
  ...Array.from({length: 64}, () =>
    Buffer.concat([Buffer.from('400\r\n'), Buffer.alloc(1024, 'x'), Buffer.from('\r\n')]),
  ),
  Buffer.from('0\r\n\r\n'),
]);

/** Node's own parser: the class that node:http uses. */
interface Llhttp {
  initialize(type: number, resource: object): void;
  execute(bytes: Buffer): unknown;
  [callback: number]: (...given: unknown[]) => unknown;
}
interface LlhttpClass {
  new (): Llhttp;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}

/** null where this Node does not show its parser. */
function llhttp(): LlhttpClass | null {
  try {
    return (process.getBuiltinModule('_http_common') as unknown as {HTTPParser: LlhttpClass}).HTTPParser;
  } catch {
    return null;
  }
}

function parseWithLlhttp(parser: LlhttpClass, type: 'request' | 'response', bytes: Buffer): () => void {
  const one = new parser();
  let messages = 0;
  one[parser.kOnHeaders] = () => undefined;
  one[parser.kOnHeadersComplete] = () => 0;
  one[parser.kOnBody] = () => undefined;
  one[parser.kOnMessageComplete] = () => void messages++;
  one.initialize(type === 'request' ? parser.REQUEST : parser.RESPONSE, {});
  return () => {
    const before = messages;
    one.execute(bytes);
    if (messages !== before + 1) throw new Error('llhttp did not read the sample');
  };
}

function parseRequest(bytes: Buffer): () => void {
  const parser = createRequestParser();
  return () => {
    parser.feed(bytes);
    for (;;) {
      const event = parser.next();
      if (event.kind === 'end') return;
      if (event.kind === 'bad' || event.kind === 'more') throw new Error(`the sample was not read: ${event.kind}`);
    }
  };
}

function parseResponse(bytes: Buffer): () => void {
  const parser = createResponseParser();
  return () => {
    parser.expect({method: 'GET', upgrade: false});
    parser.feed(bytes);
    for (;;) {
      const event = parser.next();
      if (event.kind === 'end') return;
      if (event.kind === 'bad' || event.kind === 'more') throw new Error(`the sample was not read: ${event.kind}`);
    }
  };
}

/** What a proxy does with each request's head: strip it and write it anew. */
function rewriteHead(): () => void {
  const parser = createRequestParser();
  parser.feed(GET_HEAD);
  const event = parser.next();
  if (event.kind !== 'head') throw new Error('the sample was not read');
  const {method, target, host, headers} = event.head;
  return () => {
    encodeRequestHead({method, target, authority: host!, headers: endToEnd(headers), framing: {kind: 'none'}});
  };
}

/** Microseconds for one call, best of ROUNDS. */
function microseconds(run: () => void): number {
  const spin = (ms: number): number => {
    const start = process.hrtime.bigint();
    const end = start + BigInt(ms) * 1_000_000n;
    let calls = 0;
    let now = start;
    for (; now < end; now = process.hrtime.bigint()) {
      for (let i = 0; i < 100; i++) run();
      calls += 100;
    }
    return Number(now - start) / 1_000 / calls;
  };
  spin(WARM_UP_MS);
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) best = Math.min(best, spin(MEASURE_MS));
  return best;
}

/** Takes about ten seconds. */
export function benchHttp1(): Table {
  const peer = llhttp();
  const row = (
    what: string,
    ours: () => void,
    theirs: ((peer: LlhttpClass) => () => void) | null,
  ): (string | number)[] => {
    const own = microseconds(ours);
    if (theirs === null || peer === null) return [what, own.toFixed(2), '-', '-'];
    const other = microseconds(theirs(peer));
    return [what, own.toFixed(2), other.toFixed(2), (own / other).toFixed(2)];
  };
  return {
    title: 'HTTP/1 codec, µs for one message',
    columns: ['what', 'ours', 'llhttp (node:http)', 'ours / llhttp'],
    rows: [
      row(`GET head, ${GET_HEAD.length} bytes`, parseRequest(GET_HEAD), (p) => parseWithLlhttp(p, 'request', GET_HEAD)),
      row(`response, ${RESPONSE.length} bytes`, parseResponse(RESPONSE), (p) =>
        parseWithLlhttp(p, 'response', RESPONSE),
      ),
      row('64 chunks of 1 KiB', parseRequest(CHUNKED), (p) => parseWithLlhttp(p, 'request', CHUNKED)),
      row('strip and write the GET head', rewriteHead(), null),
    ],
  };
}
