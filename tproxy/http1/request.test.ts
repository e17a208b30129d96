import {describe, expect, test} from '@jest/globals';
import {createRequestParser} from './request.ts';
import {latin1, requestHead, requestsIn, story, verdict} from './test-support.ts';

/** A request with this request line and these further lines. */
const get = (line: string, ...fields: string[]): string => [line, ...fields, '', ''].join('\r\n');
const withLines = (...fields: string[]): string => get('GET / HTTP/1.1', 'Host: a.test', ...fields);

describe('a request that is taken', () => {
  const taken: [what: string, bytes: string, has: object][] = [
    ['the simplest one', withLines(), {method: 'GET', target: '/', form: 'origin', version: '1.1', host: 'a.test', framing: {kind: 'none'}, keepAlive: true}],
    ['one after an empty line', `\r\n${withLines()}`, {target: '/'}],
    ['names in their letter case and order, values without white space around', withLines('x-B:1', 'X-a: \t 2 3\t '), {headers: ['Host', 'a.test', 'x-B', '1', 'X-a', '2 3']}],
    ['an empty value', withLines('X:'), {headers: ['Host', 'a.test', 'X', '']}],
    ['opaque bytes in a value', withLines('X: \xe9\x80'), {headers: ['Host', 'a.test', 'X', '\xe9\x80']}],
    ['a name with every kind of token character', withLines("!#$%&'*+-.^_`|~09azAZ: 1"), {headers: ['Host', 'a.test', "!#$%&'*+-.^_`|~09azAZ", '1']}],
    ['a method of its own', get('M-SEARCH / HTTP/1.1', 'Host: a.test'), {method: 'M-SEARCH'}],
    ['a target with every character that is no separator', get('GET /a?b=%20"<>\\^`{|}[]@:!$&\'()*+,;=~ HTTP/1.1', 'Host: a.test'), {form: 'origin'}],
    ['a target at the limit', get(`GET /${'a'.repeat(16_383)} HTTP/1.1`, 'Host: a.test'), {form: 'origin'}],
    ['absolute-form', get('GET HTTP://a.test:8080/b?c HTTP/1.1', 'Host: b.test'), {form: 'absolute', host: 'b.test'}],
    ['absolute-form without a path', get('GET https://a.test HTTP/1.1', 'Host: a.test'), {form: 'absolute'}],
    ['absolute-form to an address', get('GET http://[2001:db8::1]:80/ HTTP/1.1', 'Host: [2001:db8::1]:80'), {form: 'absolute', host: '[2001:db8::1]:80'}],
    ['OPTIONS for the whole server', get('OPTIONS * HTTP/1.1', 'Host: a.test'), {form: 'asterisk'}],
    ['CONNECT', get('CONNECT a.test:443 HTTP/1.1', 'Host: a.test:443'), {form: 'authority', target: 'a.test:443', framing: {kind: 'none'}}],
    ['CONNECT with a length of nothing', get('CONNECT a.test:443 HTTP/1.1', 'Host: a.test', 'Content-Length: 0'), {framing: {kind: 'none'}}],
    ['a Host with an underscore', get('GET / HTTP/1.1', 'Host: _a.b_c.test.'), {host: '_a.b_c.test.'}],
    ['HTTP/1.0 without Host', get('GET / HTTP/1.0'), {version: '1.0', host: null, keepAlive: false}],
    ['HTTP/1.0 with keep-alive', get('GET / HTTP/1.0', 'Connection: Keep-Alive'), {keepAlive: true}],
    ['HTTP/1.0 with keep-alive to a proxy', get('GET http://a.test/ HTTP/1.0', 'Connection: keep-alive'), {keepAlive: false}],
    ['HTTP/1.0 with keep-alive and close', get('GET / HTTP/1.0', 'Connection: keep-alive, close'), {keepAlive: false}],
    ['close', withLines('Connection: Close'), {keepAlive: false}],
    ['close in a second line', withLines('Connection: x-hop', 'connection: , close ,'), {keepAlive: false}],
    ['Proxy-Connection says nothing', withLines('Proxy-Connection: close'), {keepAlive: true}],
    ['a length with leading zeros', withLines('Content-Length: 007'), {framing: {kind: 'length', bytes: 7}}],
    ['the longest length', withLines(`Content-Length: ${'9'.repeat(15)}`), {framing: {kind: 'length', bytes: 999_999_999_999_999}}],
    ['chunked in any letters', withLines('Transfer-Encoding: Chunked'), {framing: {kind: 'chunked'}}],
    ['POST without a body', get('POST / HTTP/1.1', 'Host: a.test'), {framing: {kind: 'none'}}],
    ['an upgrade', withLines('Connection: keep-alive, Upgrade', 'Upgrade: WebSocket, h2c', 'Upgrade: SPDY/3.1'), {upgrade: ['websocket', 'h2c', 'spdy/3.1']}],
    ['an upgrade that Connection does not name', withLines('Upgrade: websocket'), {upgrade: []}],
    ['an upgrade in HTTP/1.0', get('GET / HTTP/1.0', 'Connection: upgrade', 'Upgrade: websocket'), {upgrade: []}],
    ['an upgrade with a length of nothing', withLines('Connection: upgrade', 'Upgrade: websocket', 'Content-Length: 0'), {upgrade: ['websocket'], framing: {kind: 'length', bytes: 0}}],
    ['an expectation', withLines('Expect: 100-Continue'), {expectContinue: true, expectUnknown: false}],
    ['an unknown expectation', withLines('Expect: 200-ok'), {expectContinue: false, expectUnknown: true}],
    ['an expectation and another', withLines('Expect: 100-continue', 'Expect: x'), {expectContinue: false, expectUnknown: true}],
    ['an expectation in HTTP/1.0', get('GET / HTTP/1.0', 'Expect: 100-continue'), {expectContinue: false, expectUnknown: false}],
    ['as many fields as the limit', withLines(...Array.from({length: 199}, (_, i) => `X-${i}: 1`)), {method: 'GET'}],
  ]; // prettier-ignore

  test.each(taken)('%s', (_what, bytes, has) => {
    expect(requestHead(requestsIn(bytes))).toMatchObject(has);
  });

  test('a head of exactly the limit, and not of one byte more', () => {
    const maxHeadBytes = withLines().length;
    expect(verdict(requestsIn(withLines(), {maxHeadBytes}))).toBe('end');
    expect(requestsIn(withLines(), {maxHeadBytes: maxHeadBytes - 1})).toEqual([
      {kind: 'bad', code: 'HeadTooLarge', at: maxHeadBytes - 1},
    ]);
  });
});

describe('one message after another', () => {
  test('pipelined requests come one by one, with their bodies', () => {
    const post = get('POST /1 HTTP/1.1', 'Host: a.test', 'Content-Length: 5');
    expect(story(requestsIn(`${post}hello${withLines()}`))).toEqual(['head', 'body hello', 'end', 'head', 'end']);
  });

  test('a body is views of what was fed', () => {
    const parser = createRequestParser();
    const head = latin1(get('POST / HTTP/1.1', 'Host: a.test', 'Content-Length: 6'));
    const chunks = [Buffer.concat([head, latin1('ab')]), latin1('cd'), latin1('efGET')];
    const views: Buffer[] = [];
    for (const chunk of chunks) {
      parser.feed(chunk);
      for (let event = parser.next(); event.kind !== 'more'; event = parser.next()) {
        if (event.kind === 'body') views.push(event.chunk);
      }
    }
    expect(views.map(String)).toEqual(['ab', 'cd', 'ef']);
    expect(views[1]).toBe(chunks[1]);
    expect(views.map((view) => view.buffer)).toEqual(chunks.map((chunk) => chunk.buffer));
  });

  test('a body behind a head that came in pieces is a view as well', () => {
    const parser = createRequestParser();
    const [a, b] = [latin1('POST / HTTP/1.1\r\nHost: a.te'), latin1('st\r\nContent-Length: 3\r\n\r\nabcX')];
    parser.feed(a);
    expect(parser.next().kind).toBe('more');
    parser.feed(b);
    expect(parser.next().kind).toBe('head');
    const body = parser.next();
    b[b.length - 2] = 0x7a;
    expect(body.kind === 'body' && body.chunk.toString()).toBe('abz');
  });

  test('what follows a request that closes the connection is never looked at', () => {
    const parser = createRequestParser();
    parser.feed(latin1(`${withLines('Connection: close')}GET /smuggled HTTP/1.1\r\nHost: b.test\r\n\r\n`));
    expect(parser.next().kind).toBe('head');
    expect(parser.next().kind).toBe('end');
    parser.feed(latin1(withLines()));
    expect(parser.next().kind).toBe('more');
    expect(parser.atBoundary()).toBe(true);
    expect(parser.rest()).toHaveLength(0);
  });

  test('rest() gives what follows CONNECT, once', () => {
    const parser = createRequestParser();
    parser.feed(latin1(`${get('CONNECT a.test:443 HTTP/1.1', 'Host: a.test:443')}\x16\x03`));
    parser.feed(latin1('\x01'));
    expect([parser.next().kind, parser.next().kind]).toEqual(['head', 'end']);
    expect(parser.rest().toString('latin1')).toBe('\x16\x03\x01');
    expect(parser.next().kind).toBe('more');
    expect(parser.rest()).toHaveLength(0);
  });

  const ends: [what: string, bytes: string, boundary: boolean][] = [
    ['before anything', '', true],
    ['after an empty line', '\r\n', true],
    ['after a whole request', withLines(), true],
    ['after a CR', '\r', false],
    ['in a request line', 'GET', false],
    ['in a head', 'GET / HTTP/1.1\r\n', false],
    ['in a body', get('POST / HTTP/1.1', 'Host: a.test', 'Content-Length: 5').concat('abcd'), false],
    [
      'before the last chunk',
      get('POST / HTTP/1.1', 'Host: a.test', 'Transfer-Encoding: chunked').concat('1\r\na\r\n'),
      false,
    ],
    ['in the trailers', get('POST / HTTP/1.1', 'Host: a.test', 'Transfer-Encoding: chunked').concat('0\r\n'), false],
  ];
  test.each(ends)('a client that half-closes %s (bytes %j): at a boundary %s', (_what, bytes, boundary) => {
    const parser = createRequestParser();
    parser.feed(latin1(bytes));
    while (parser.next().kind !== 'more');
    expect(parser.atBoundary()).toBe(boundary);
  });

  test('a request that was fed and not read is no boundary', () => {
    const parser = createRequestParser();
    parser.feed(latin1(withLines()));
    expect(parser.atBoundary()).toBe(false);
  });
});
