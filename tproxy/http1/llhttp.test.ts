/**
 * Beside llhttp, the parser of node:http and of many servers behind us, in its strict mode: whatever we take, it must
 * read as the same messages. (It may take more than we do; that is what strictness is for.)
 */
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {latin1, requestsIn, responsesIn} from './test-support.ts';
import type {Said} from './test-support.ts';

interface Message {
  readonly start: string;
  readonly headers: readonly string[];
  body: string;
  trailers: readonly string[];
  complete: boolean;
}

/** Node's binding, as node:http uses it; the numbers name its callbacks. */
interface Parser {
  initialize(type: number, resource: object): void;
  execute(bytes: Buffer): unknown;
  finish(): unknown;
  [callback: number]: (...given: never[]) => unknown;
}
interface ParserClass {
  new (): Parser;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}
const common = process.getBuiltinModule('_http_common') as unknown as {HTTPParser: ParserClass; methods: string[]};
const {HTTPParser} = common;
/** The binding gives methods by number, in llhttp's own order: asked of it once for each name. */
const METHOD_OF = new Map<number, string>();
for (const method of common.methods) {
  const parser = new HTTPParser();
  parser[HTTPParser.kOnHeadersComplete] = (...given: unknown[]) => {
    METHOD_OF.set(given[3] as number, method);
    return 0;
  };
  parser.initialize(HTTPParser.REQUEST, {});
  parser.execute(latin1(`${method} ${method === 'CONNECT' ? 'a:1' : '/'} HTTP/1.1\r\nHost: a\r\n\r\n`));
}
const KNOWN = new Set(METHOD_OF.values());

/** llhttp's answers from on_headers_complete: go on, no body (HEAD), or a tunnel. */
const GO_ON = 0;
const NO_BODY = 1;
const TUNNEL = 2;

interface Seen {
  readonly messages: Message[];
  readonly error: string | null;
}

/** What llhttp reads. `asked`: of a response, the request's method. */
function read(type: 'request' | 'response', bytes: Buffer, asked = 'GET', finish = false): Seen {
  const parser = new HTTPParser();
  const messages: Message[] = [];
  let flushed: string[] = [];
  let url = '';
  parser[HTTPParser.kOnHeaders] = (headers: string[], target: string) => {
    flushed.push(...headers);
    url += target;
  };
  parser[HTTPParser.kOnHeadersComplete] = (
    _major: number, minor: number, headers: string[] | undefined, method: number, target: string | undefined, status: number, reason: string,
  ) => {
    const start = type === 'request' ? `${METHOD_OF.get(method)} ${target ?? url} 1.${minor}` : `${status} ${reason} 1.${minor}`;
    messages.push({start, headers: headers ?? flushed, body: '', trailers: [], complete: false});
    flushed = [];
    url = '';
    if (type === 'request') return GO_ON;
    if (asked === 'HEAD') return NO_BODY;
    return status === 101 || (asked === 'CONNECT' && status >= 200 && status < 300) ? TUNNEL : GO_ON;
  }; // prettier-ignore
  parser[HTTPParser.kOnBody] = (chunk: Buffer) => {
    messages.at(-1)!.body += chunk.toString('latin1');
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    const message = messages.at(-1)!;
    message.complete = true;
    message.trailers = flushed;
    flushed = [];
    // Flushed trailers bring the target once more.
    url = '';
  };
  parser.initialize(type === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {});
  const result = parser.execute(bytes);
  // A number of bytes, or an Error; of another realm under Jest, so not `instanceof`.
  if (typeof result !== 'number') return {messages, error: codeOf(result)};
  const end = finish ? parser.finish() : undefined;
  return {messages, error: end === undefined ? null : codeOf(end)};
}

function codeOf(error: unknown): string {
  return String((error as {code?: unknown}).code);
}

/** What we read, in the same shape; only whole messages count, for of the others nothing was promised yet. */
function ours(said: readonly Said[]): Message[] {
  const messages: Message[] = [];
  for (const one of said) {
    if (one.kind === 'head' || one.kind === 'informational') {
      const {head} = one;
      const start =
        'method' in head
          ? `${head.method} ${head.target} ${head.version}`
          : `${head.status} ${head.reasonPhrase} ${head.version}`;
      messages.push({start, headers: head.headers, body: '', trailers: [], complete: one.kind === 'informational'});
    } else if (one.kind === 'body') {
      messages.at(-1)!.body += one.text;
    } else if (one.kind === 'end') {
      const message = messages.at(-1)!;
      message.complete = true;
      message.trailers = one.trailers;
    }
  }
  return messages.filter((message) => message.complete);
}

/** Compares as text first: there are a hundred thousand of these, and Jest's comparison is for the one that fails. */
function same(theirs: Message | undefined, message: Message): void {
  if (JSON.stringify(theirs) !== JSON.stringify(message)) expect(theirs).toEqual(message);
}

/** How many messages of ours llhttp was asked about: a test that takes nothing would prove nothing. */
function compareRequests(text: string | Buffer): number {
  const bytes = typeof text === 'string' ? latin1(text) : text;
  const said = requestsIn([bytes]);
  const taken = ours(said);
  if (taken.length === 0) return 0;
  const theirs = read('request', bytes).messages;
  let compared = 0;
  for (const [i, message] of taken.entries()) {
    // It knows no other methods and stops there.
    if (!KNOWN.has(message.start.split(' ')[0]!)) break;
    same(theirs[i], message);
    compared++;
    const head = said.filter((one) => one.kind === 'head')[i]!.head;
    // What follows CONNECT and an upgrade is the tunnel's to it, and the caller's to judge to us.
    if ('method' in head && (head.method === 'CONNECT' || head.upgrade.length > 0)) break;
  }
  return compared;
}

function compareResponses(bytes: Buffer, asked: string): number {
  const taken = ours(responsesIn([bytes], [{method: asked, upgrade: true}], {finish: true}));
  if (taken.length === 0) return 0;
  const theirs = read('response', bytes, asked, true).messages;
  for (const [i, message] of taken.entries()) same(theirs[i], message);
  return taken.length;
}

const LENGTHS = ['', 'Content-Length: 5', 'Content-Length: 0', 'content-length:\t5 ', 'Content-Length: 05', 'Content-Length: 5, 5', 'Content-Length: +5', 'Content-Length:', 'Content-Length: 5\r\nContent-Length: 5', 'Content-Length : 5', 'Content-Length: 0x5', ' Content-Length: 5']; // prettier-ignore
const CODINGS = ['', 'Transfer-Encoding: chunked', 'transfer-encoding: CHUNKED ', 'Transfer-Encoding: gzip, chunked', 'Transfer-Encoding: identity', 'Transfer-Encoding: chunked, identity', 'Transfer-Encoding : chunked', 'Transfer-Encoding:\x0bchunked', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', 'Transfer-Encoding: xchunked', 'Transfer-Encoding:\r\n chunked', 'Transfer-Encoding']; // prettier-ignore
const CONNECTIONS = ['', 'Connection: close', 'Connection: keep-alive', 'Connection: close, keep-alive', 'X: y', 'Connection: upgrade\r\nUpgrade: websocket', 'Upgrade: h2c', 'Connection: x\r\nX: y\t\xe9']; // prettier-ignore
const BODIES = ['', 'hello', '5\r\nhello\r\n0\r\n\r\n', '5;a="b;c"\r\nhello\r\n00\r\nX: y\r\n\r\n', '5\nhello\r\n0\r\n\r\n', '0x5\r\nhello\r\n0\r\n\r\n', '5 \r\nhello\r\n0\r\n\r\n', '5\r\nhello0\r\n\r\n', '5;a\nhello\r\n0\r\n\r\n', '0\r\nX : y\r\n\r\n']; // prettier-ignore
const NEXT = 'GET /next HTTP/1.1\r\nHost: b.test\r\n\r\n';

describe('where we take a request, llhttp reads the same', () => {
  const lines = [
    'GET /a?b HTTP/1.1',
    'POST / HTTP/1.1',
    'POST http://a.test/ HTTP/1.0',
    'CONNECT a.test:443 HTTP/1.1',
    'OPTIONS * HTTP/1.1',
  ];

  test.each(lines)('%s with every combination of framing, connection and body', (line) => {
    let compared = 0;
    for (const length of LENGTHS) {
      for (const coding of CODINGS) {
        for (const connection of CONNECTIONS) {
          const head = [line, 'Host: a.test', length, coding, connection].filter((text) => text !== '').join('\r\n');
          for (const body of BODIES) compared += compareRequests(`${head}\r\n\r\n${body}${NEXT}`);
        }
      }
    }
    expect(compared).toBeGreaterThan(100);
  });

  test('each byte in each place of a head', () => {
    const head =
      'GET /a?b HTTP/1.1\r\nHost: a.test\r\nX-y: z w\r\nContent-Length: 2\r\n\r\nabGET / HTTP/1.1\r\nHost: c\r\n\r\n';
    let compared = 0;
    for (let at = 0; at < head.length; at++) {
      for (let byte = 0; byte < 256; byte++) {
        const bytes = latin1(head);
        bytes[at] = byte;
        compared += compareRequests(bytes);
      }
    }
    expect(compared).toBeGreaterThan(5_000);
  });

  test('each byte in each place of a chunked body', () => {
    const head = 'POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n';
    const body = '3;a="b"\r\nabc\r\n1\r\nd\r\n0\r\nX: y\r\n\r\n';
    let compared = 0;
    for (let at = 0; at < body.length; at++) {
      for (let byte = 0; byte < 256; byte++) {
        const bytes = latin1(`${head}${body}${NEXT}`);
        bytes[head.length + at] = byte;
        compared += compareRequests(bytes);
      }
    }
    expect(compared).toBeGreaterThan(2_000);
  });

  test('requests made of pieces at random, with bytes changed', () => {
    const pieces = fc.record({
      line: fc.constantFrom(
        ...lines,
        'GET http://a.test HTTP/1.1',
        'DELETE /%zz HTTP/1.1',
        'QUERY / HTTP/1.1',
        'PUT / HTTP/1.0',
      ),
      fields: fc.array(
        fc.constantFrom(...LENGTHS, ...CODINGS, ...CONNECTIONS, 'Expect: 100-continue', 'X:\t \xff', 'x-y:z'),
        {maxLength: 4},
      ),
      body: fc.constantFrom(...BODIES),
      again: fc.boolean(),
      change: fc.option(fc.tuple(fc.nat(200), fc.nat(255)), {freq: 2}),
    });
    let compared = 0;
    fc.assert(
      fc.property(pieces, ({line, fields, body, again, change}) => {
        const one = `${[line, 'Host: a.test', ...fields].filter((text) => text !== '').join('\r\n')}\r\n\r\n${body}`;
        const bytes = latin1(again ? `${one}${one}${NEXT}` : `${one}${NEXT}`);
        if (change !== null) bytes[change[0] % bytes.length] = change[1];
        compared += compareRequests(bytes);
      }),
      {numRuns: 5_000},
    );
    expect(compared).toBeGreaterThan(1_000);
  });
});

describe('where we take a response, llhttp reads the same', () => {
  const lines = ['HTTP/1.1 200 OK', 'HTTP/1.0 200 OK', 'HTTP/1.1 204 No Content', 'HTTP/1.1 304 Not Modified', 'HTTP/1.1 101 Switching Protocols', 'HTTP/1.1 404']; // prettier-ignore

  test.each(lines)('%s with every combination of framing, connection, body and method', (line) => {
    let compared = 0;
    for (const length of LENGTHS) {
      for (const coding of CODINGS) {
        for (const connection of CONNECTIONS) {
          const head = [line, length, coding, connection].filter((text) => text !== '').join('\r\n');
          for (const body of BODIES) {
            for (const asked of ['GET', 'HEAD', 'CONNECT'])
              compared += compareResponses(latin1(`${head}\r\n\r\n${body}`), asked);
          }
        }
      }
    }
    expect(compared).toBeGreaterThan(100);
  });

  test('each byte in each place, behind a 1xx', () => {
    const text = 'HTTP/1.1 103 Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nX-y: z w\r\nContent-Length: 2\r\n\r\nab';
    let compared = 0;
    for (let at = 0; at < text.length; at++) {
      for (let byte = 0; byte < 256; byte++) {
        const bytes = latin1(text);
        bytes[at] = byte;
        compared += compareResponses(bytes, 'GET');
      }
    }
    expect(compared).toBeGreaterThan(5_000);
  });
});

test('the comparison sees a difference: what both take otherwise is not equal', () => {
  const bytes = latin1('GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n');
  const [message] = ours(requestsIn([bytes]));
  expect(read('request', bytes).messages[0]).toEqual(message);
  expect(read('request', latin1('GET /b HTTP/1.1\r\nHost: a.test\r\n\r\n')).messages[0]).not.toEqual(message);
  expect(read('request', latin1('GET /a HTTP/1.1\r\nHost: a.test\r\nX : y\r\n\r\n')).error).toBe(
    'HPE_INVALID_HEADER_TOKEN',
  );
});
