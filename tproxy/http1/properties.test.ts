/** What holds for all bytes: how they are cut does not matter, nothing throws or loops, what is written is read. */
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {encodeChunk, encodeLastChunk, encodeRequestHead, encodeResponseHead} from './encode.ts';
import {endToEnd} from './headers.ts';
import {DEFAULT_LIMITS} from './limits.ts';
import {isForbiddenTrailer} from './trailers.ts';
import {latin1, requestHead, requestsIn, responseHead, responsesIn} from './test-support.ts';

/** Small limits, so that generated messages come to them. */
const TIGHT = {
  maxHeadBytes: 200,
  maxHeaders: 6,
  maxTargetBytes: 40,
  maxTrailerBytes: 60,
  maxChunkLineBytes: 24,
  maxChunkExtensionBytes: 30,
};

const fragments = [
  'GET / HTTP/1.1\r\n', 'POST /a?b HTTP/1.1\r\n', 'GET / HTTP/1.0\r\n', 'CONNECT a.test:443 HTTP/1.1\r\n', 'HTTP/1.1 200 OK\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 204 \r\n', 'HTTP/1.0 200 OK\r\n', 'Host: a.test\r\n', 'Content-Length: 5\r\n', 'Content-Length: 0\r\n',
  'Transfer-Encoding: chunked\r\n', 'Connection: close\r\n', 'Connection: keep-alive\r\n', 'Connection: upgrade\r\n', 'Upgrade: x\r\n', 'X: y\r\n', 'X : y\r\n',
  ' folded\r\n', '\r\n', '\r', '\n', '\0', 'hello', '5\r\nhello\r\n', '5;a=b\r\nhello\r\n', '0\r\n', '0\r\n\r\n', 'ffffffff\r\n', '\x80', ':', ' ', '\t',
  'a'.repeat(30),
]; // prettier-ignore

/** Whole requests and responses, so that most of the time there is something to cut. */
const REQUEST =
  'POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5;e=f\r\nhello\r\n0\r\nX: y\r\n\r\n';
const RESPONSE = 'HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';

const messages = fc
  .tuple(
    fc.constantFrom('', REQUEST, RESPONSE, 'GET / HTTP/1.1\r\nHost: a.test\r\n'),
    fc.array(fc.constantFrom(...fragments), {maxLength: 12}),
  )
  .map(([start, rest]) => latin1(start + rest.join('')));

type Mutation = readonly [at: number, byte: number, how: 'replace' | 'insert' | 'remove'];

/** A message with a few bytes replaced, inserted or taken out. */
const mutated = fc
  .tuple(
    messages,
    fc.array(fc.tuple(fc.nat(400), fc.nat(255), fc.constantFrom('replace', 'insert', 'remove')), {maxLength: 4}),
  )
  .map(([bytes, mutations]) => {
    const list = [...bytes];
    for (const [at, byte, how] of mutations as Mutation[]) {
      const index = list.length === 0 ? 0 : at % list.length;
      if (how === 'insert') list.splice(index, 0, byte);
      else if (how === 'remove') list.splice(index, 1);
      else list[index] = byte;
    }
    return Buffer.from(list);
  });

/** The bytes cut at these places, each piece in memory of its own. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  const pieces: Buffer[] = [];
  let from = 0;
  for (const to of [...sorted, bytes.length]) {
    pieces.push(Buffer.from(bytes.subarray(from, to)));
    from = to;
  }
  return pieces;
}

const cuts = fc.array(fc.nat(400), {maxLength: 8});
const RUNS = {numRuns: 3_000};

describe('however the bytes are cut', () => {
  test.each([
    ['the default limits', {}],
    ['tight limits', TIGHT],
  ])('a request parser says the same, with %s', (_what, limits) => {
    fc.assert(
      fc.property(mutated, cuts, (bytes, places) => {
        expect(requestsIn(cut(bytes, places), limits)).toEqual(requestsIn([bytes], limits));
      }),
      RUNS,
    );
  });

  test('a request parser that is fed byte by byte says the same', () => {
    fc.assert(
      fc.property(mutated, (bytes) => {
        expect(
          requestsIn(
            [...bytes].map((byte) => Buffer.of(byte)),
            TIGHT,
          ),
        ).toEqual(requestsIn([bytes], TIGHT));
      }),
      {numRuns: 500},
    );
  });

  test.each([
    ['the default limits', {}],
    ['tight limits', TIGHT],
  ])('a response parser says the same, with %s', (_what, limits) => {
    const asked = fc.record({method: fc.constantFrom('GET', 'HEAD', 'CONNECT'), upgrade: fc.boolean()});
    fc.assert(
      fc.property(mutated, cuts, asked, (bytes, places, request) => {
        const options = {finish: true, limits};
        expect(responsesIn(cut(bytes, places), [request], options)).toEqual(responsesIn([bytes], [request], options));
      }),
      RUNS,
    );
  });

  test('pieces that are fed before anything is read say the same', () => {
    fc.assert(
      fc.property(mutated, cuts, (bytes, places) => {
        expect(requestsIn(cut(bytes, places), TIGHT, 'fed first')).toEqual(requestsIn([bytes], TIGHT));
      }),
      RUNS,
    );
  });
});

describe('any bytes', () => {
  test('never throw and never loop, in either direction', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          mutated,
          fc.uint8Array({maxLength: 300}).map((bytes) => Buffer.from(bytes)),
        ),
        fc.boolean(),
        (bytes, upgrade) => {
          requestsIn([bytes], TIGHT);
          responsesIn([bytes], [{upgrade}], {finish: true, limits: TIGHT});
        },
      ),
      RUNS,
    );
  });

  test('a refusal is at an offset within them', () => {
    fc.assert(
      fc.property(mutated, (bytes) => {
        const last = requestsIn([bytes], TIGHT).at(-1);
        if (last?.kind === 'bad') {
          expect(last.at).toBeGreaterThanOrEqual(0);
          expect(last.at).toBeLessThanOrEqual(bytes.length);
        }
      }),
      RUNS,
    );
  });
});

const token = fc.string({unit: fc.constantFrom(..."abcXYZ09!#$%&'*+-.^_`|~"), minLength: 1, maxLength: 12});
const printable = fc.string({unit: fc.constantFrom(...'abc \t"\\;,=\x80\xff'), maxLength: 20});
const OWN_NAMES = new Set(endToEndRemoves());
const lines = fc
  .array(fc.tuple(token, printable), {maxLength: 5})
  .map((pairs) =>
    pairs
      .filter(([name]) => !OWN_NAMES.has(name.toLowerCase()) && !isForbiddenTrailer(name.toLowerCase()))
      .flatMap(([name, value]) => [name, value]),
  );
const trimmed = (headers: readonly string[]): string[] => headers.map((text, i) => (i % 2 === 0 ? text : text.replace(/^[ \t]+|[ \t]+$/g, ''))); // prettier-ignore
const chunks = fc.array(
  fc.uint8Array({minLength: 1, maxLength: 20}).map((bytes) => Buffer.from(bytes)),
  {maxLength: 4},
);

function endToEndRemoves(): string[] {
  return [
    'connection',
    'content-length',
    'expect',
    'host',
    'keep-alive',
    'proxy-connection',
    'te',
    'transfer-encoding',
    'upgrade',
  ];
}

describe('what is written is read', () => {
  test('a request', () => {
    const target = fc
      .string({unit: fc.constantFrom(...'abc/?%&=;:@"<>[]{}|\\^`'), maxLength: 20})
      .map((text) => `/${text}`);
    fc.assert(
      fc.property(token, target, lines, chunks, lines, fc.boolean(), (method, path, headers, body, trailers, close) => {
        fc.pre(method !== 'CONNECT' && method.length <= DEFAULT_LIMITS.maxMethodBytes);
        const bytes = Buffer.concat([
          encodeRequestHead({
            method,
            target: path,
            authority: 'a.test:8080',
            headers,
            framing: {kind: 'chunked'},
            close,
          }),
          ...body.map(encodeChunk),
          encodeLastChunk(trailers),
        ]);
        const said = requestsIn([bytes]);
        const head = requestHead(said);
        expect(head).toMatchObject({
          method,
          target: path,
          host: 'a.test:8080',
          framing: {kind: 'chunked'},
          keepAlive: !close,
        });
        expect(endToEnd(head.headers)).toEqual(endToEnd(trimmed(headers)));
        const text = Buffer.concat(body).toString('latin1');
        expect(said.slice(1)).toEqual([
          ...(text === '' ? [] : [{kind: 'body', text}]),
          {kind: 'end', trailers: trimmed(trailers)},
        ]);
      }),
      RUNS,
    );
  });

  test('a response', () => {
    fc.assert(
      fc.property(
        fc.integer({min: 200, max: 599}),
        printable,
        lines,
        fc.uint8Array({maxLength: 20}),
        (status, reason, headers, content) => {
          fc.pre(status !== 204 && status !== 304);
          const body = Buffer.from(content);
          const head = encodeResponseHead({
            status,
            reasonPhrase: reason,
            headers,
            framing: {kind: 'length', bytes: body.length},
          });
          const said = responsesIn([Buffer.concat([head, body])]);
          expect(responseHead(said)).toMatchObject({
            status,
            reasonPhrase: reason,
            framing: {kind: 'length', bytes: body.length},
          });
          expect(endToEnd(responseHead(said).headers)).toEqual(endToEnd(trimmed(headers)));
          expect(said.at(-1)).toEqual({kind: 'end', trailers: []});
        },
      ),
      RUNS,
    );
  });

  test('whatever the parts are, what is written is one message or nothing', () => {
    const evil = fc.string({
      unit: fc.constantFrom('a', ':', ' ', '\r', '\n', '\0', '\u010a', '\xff', ','),
      maxLength: 6,
    });
    fc.assert(
      fc.property(
        evil,
        evil,
        evil,
        evil,
        fc.array(evil, {maxLength: 4}),
        (method, path, authority, upgrade, headers) => {
          let bytes: Buffer;
          try {
            bytes = encodeRequestHead({
              method,
              target: `/${path}`,
              authority: `a${authority}`,
              headers,
              framing: {kind: 'none'},
              upgrade: upgrade === '' ? null : upgrade,
            });
          } catch {
            return;
          }
          const said = requestsIn([bytes]);
          expect(said.map((one) => one.kind)).toEqual(['head', 'end']);
          expect(requestHead(said)).toMatchObject({method, target: `/${path}`, host: `a${authority}`});
        },
      ),
      RUNS,
    );
  });
});

describe('the cost of a head that comes byte by byte is linear', () => {
  /** Counts the bytes that are looked at or copied, so that no clock is needed. */
  function bytesTouched(size: number): number {
    const text = latin1(`GET / HTTP/1.1\r\nHost: a.test\r\nX: ${'a'.repeat(size)}`);
    let touched = 0;
    const prototype = Buffer.prototype as unknown as Record<
      'indexOf' | 'copy',
      (this: Buffer, ...given: unknown[]) => number
    >;
    const {indexOf, copy} = prototype;
    prototype.indexOf = function (this: Buffer, ...given) {
      touched += this.length - Number(given[1] ?? 0);
      return indexOf.apply(this, given);
    };
    prototype.copy = function (this: Buffer, ...given) {
      const copied = copy.apply(this, given);
      touched += copied;
      return copied;
    };
    try {
      requestsIn([...text].map((byte) => Buffer.of(byte)));
    } finally {
      prototype.indexOf = indexOf;
      prototype.copy = copy;
    }
    return touched;
  }

  test('each byte is searched once and copied a few times at most', () => {
    expect(bytesTouched(30_000)).toBeGreaterThan(30_000);
    expect(bytesTouched(30_000)).toBeLessThan(30_000 * 6);
  });
});
