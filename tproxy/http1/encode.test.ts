import {describe, expect, test} from '@jest/globals';
import {
  encodeChunk,
  chunkHeader,
  encodeLastChunk,
  encodeRequestHead,
  encodeResponseHead,
  UnencodableError,
} from './encode.ts';
import type {RequestParts, ResponseParts} from './encode.ts';
import {requestsIn, responsesIn, verdict} from './test-support.ts';

const REQUEST: RequestParts = {method: 'GET', target: '/a', authority: 'a.test', headers: [], framing: {kind: 'none'}};
const RESPONSE: ResponseParts = {status: 200, headers: [], framing: {kind: 'length', bytes: 0}};
const request = (parts: Partial<RequestParts>): string => encodeRequestHead({...REQUEST, ...parts}).toString('latin1');
const response = (parts: Partial<ResponseParts>): string =>
  encodeResponseHead({...RESPONSE, ...parts}).toString('latin1');

describe('a request’s head as written', () => {
  const cases: [what: string, parts: Partial<RequestParts>, text: string][] = [
    ['the simplest one', {}, 'GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n'],
    ['Host is first, the others keep order and letter case', {headers: ['x-B', '1', 'X-a', '\xe9']}, 'GET /a HTTP/1.1\r\nHost: a.test\r\nx-B: 1\r\nX-a: \xe9\r\n\r\n'],
    ['with a length', {framing: {kind: 'length', bytes: 5}}, 'GET /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n'],
    ['with chunks', {framing: {kind: 'chunked'}}, 'GET /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['CONNECT with the parent’s credentials', {method: 'CONNECT', target: 'a.test:443', authority: 'a.test:443', headers: ['Proxy-Authorization', 'Basic x']}, 'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nProxy-Authorization: Basic x\r\n\r\n'],
    ['in absolute-form, to be closed', {target: 'http://a.test/', close: true}, 'GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n'],
    ['an upgrade', {upgrade: 'websocket'}, 'GET /a HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'],
    ['trailers and an expectation', {wantsTrailers: true, expectContinue: true}, 'GET /a HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nExpect: 100-continue\r\nConnection: TE\r\n\r\n'],
  ]; // prettier-ignore
  test.each(cases)('%s', (_what, parts, text) => {
    expect(request(parts)).toBe(text);
    expect(verdict(requestsIn(text))).not.toMatch(/^[A-Z]/);
  });
});

describe('a response’s head as written', () => {
  const cases: [what: string, parts: Partial<ResponseParts>, text: string][] = [
    ['the simplest one', {}, 'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n'],
    ['with a reason', {status: 418, reasonPhrase: 'Tea \xe9'}, 'HTTP/1.1 418 Tea \xe9\r\nContent-Length: 0\r\n\r\n'],
    ['ended by the connection', {framing: {kind: 'close'}}, 'HTTP/1.1 200 \r\nConnection: close\r\n\r\n'],
    ['to be closed', {connection: 'close'}, 'HTTP/1.1 200 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n'],
    ['to be kept', {connection: 'keep-alive'}, 'HTTP/1.1 200 \r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n'],
    ['100', {status: 100, framing: {kind: 'none'}}, 'HTTP/1.1 100 \r\n\r\n'],
    ['101', {status: 101, framing: {kind: 'none'}, upgrade: 'websocket'}, 'HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'],
    ['to HEAD, with the length that GET would get', {framing: {kind: 'none'}, headers: ['Content-Length', '5']}, 'HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n'],
  ]; // prettier-ignore
  test.each(cases)('%s', (_what, parts, text) => {
    expect(response(parts)).toBe(text);
  });
});

describe('what would split or misframe a message is thrown (CVE-2018-12116)', () => {
  const endings = ['\r\n', '\r', '\n', '\0', '\u010a', '\u010d', '\u560a', '\x0b', '\x7f'];
  const inRequest: [part: string, parts: (ending: string) => Partial<RequestParts>][] = [
    ['method', (x) => ({method: `GET${x}`})],
    ['target', (x) => ({target: `/a${x}b`})],
    ['authority', (x) => ({authority: `a.test${x}`})],
    ['field name', (x) => ({headers: [`X${x}`, '1']})],
    ['field value', (x) => ({headers: ['X', `1${x}Y: 2`]})],
    ['upgrade', (x) => ({upgrade: `websocket${x}`})],
  ];
  test.each(inRequest)('in a request: a line ending in the %s', (part, parts) => {
    for (const ending of endings) {
      expect(() => request(parts(ending))).toThrow(UnencodableError);
      expect(() => request(parts(ending))).toThrow(part);
    }
  });

  const inResponse: [part: string, parts: (ending: string) => Partial<ResponseParts>][] = [
    ['reason phrase', (x) => ({reasonPhrase: `OK${x}`})],
    ['field name', (x) => ({headers: [`X${x}`, '1']})],
    ['field value', (x) => ({headers: ['X', `1${x}Y: 2`]})],
    ['upgrade', (x) => ({status: 101, framing: {kind: 'none'}, upgrade: `websocket${x}`})],
  ];
  test.each(inResponse)('in a response: a line ending in the %s', (part, parts) => {
    for (const ending of endings) {
      expect(() => response(parts(ending))).toThrow(UnencodableError);
      expect(() => response(parts(ending))).toThrow(part);
    }
  });

  test('the error does not repeat what was to be written', () => {
    expect(() => request({headers: ['X', 'secret\r\n']})).toThrow(/^((?!secret).)*$/s);
  });

  const requests: [what: string, parts: Partial<RequestParts>][] = [
    ['an empty method', {method: ''}],
    ['a space in the target', {target: '/a b'}],
    ['a fragment', {target: '/a#b'}],
    ['bytes above ASCII in the target', {target: '/\xe9'}],
    ['a target of no form', {target: 'a'}],
    ['CONNECT with a path', {method: 'CONNECT'}],
    ['an authority with userinfo', {authority: 'u@a.test'}],
    ['an empty authority', {authority: ''}],
    ['an empty field name', {headers: ['', '1']}],
    ['a name without a value', {headers: ['X']}],
    ['a character above U+00FF', {headers: ['X', '\u0100']}],
    ['a second Host', {headers: ['hOST', 'b.test']}],
    ['a Content-Length', {headers: ['Content-Length', '5']}],
    ['a Content-Length beside chunks', {headers: ['content-length', '5'], framing: {kind: 'chunked'}}],
    ['a Transfer-Encoding', {headers: ['Transfer-Encoding', 'chunked']}],
    ['a Connection', {headers: ['Connection', 'x']}],
    ['an Upgrade', {headers: ['Upgrade', 'h2c']}],
    ['a TE', {headers: ['TE', 'gzip']}],
    ['an Expect', {headers: ['Expect', '100-continue']}],
    ['a Keep-Alive', {headers: ['Keep-Alive', 'timeout=5']}],
    ['a negative length', {framing: {kind: 'length', bytes: -1}}],
    ['a length that is no number', {framing: {kind: 'length', bytes: NaN}}],
    ['a length beyond what is exact', {framing: {kind: 'length', bytes: 2 ** 53}}],
    ['an upgrade with a body', {upgrade: 'websocket', framing: {kind: 'length', bytes: 1}}],
  ]; // prettier-ignore
  test.each(requests)('a request with %s', (_what, parts) => {
    expect(() => request(parts)).toThrow(UnencodableError);
  });

  const responses: [what: string, parts: Partial<ResponseParts>][] = [
    ['status 99', {status: 99}],
    ['status 600', {status: 600}],
    ['a fraction of a status', {status: 200.5}],
    ['204 and a body', {status: 204}],
    ['100 and a body', {status: 100, framing: {kind: 'chunked'}}],
    ['304 and a body', {status: 304, framing: {kind: 'close'}}],
    ['101 without a protocol', {status: 101, framing: {kind: 'none'}}],
    ['200 with a protocol', {upgrade: 'websocket'}],
    ['a second Content-Length', {headers: ['Content-Length', '5']}],
    ['204 with a length', {status: 204, framing: {kind: 'none'}, headers: ['Content-Length', '5']}],
    ['a Content-Length that is none', {framing: {kind: 'none'}, headers: ['Content-Length', '5, 5']}],
  ]; // prettier-ignore
  test.each(responses)('a response with %s', (_what, parts) => {
    expect(() => response(parts)).toThrow(UnencodableError);
  });
});

describe('chunks as written', () => {
  test('a chunk', () => {
    expect(encodeChunk(Buffer.alloc(26, 'x')).toString()).toBe(`1a\r\n${'x'.repeat(26)}\r\n`);
  });
  test.each([0, -1, 1.5, NaN])('a chunk of %d bytes would end the body, or be none', (bytes) => {
    expect(() => chunkHeader(bytes)).toThrow(UnencodableError);
  });
  test('the last chunk, with trailers', () => {
    expect(encodeLastChunk().toString()).toBe('0\r\n\r\n');
    expect(encodeLastChunk(['Grpc-Status', '0', 'x', '']).toString()).toBe('0\r\nGrpc-Status: 0\r\nx: \r\n\r\n');
  });
  test.each([['Content-Length', '5'], ['host', 'a'], ['Proxy-X', '1'], ['X', 'a\r\n'], ['X\n', 'a'], ['X']])(
    'the trailer %j',
    (...trailer) => {
      expect(() => encodeLastChunk(trailer)).toThrow(UnencodableError);
    },
  );
  test('what was written is read', () => {
    const body = Buffer.concat([
      encodeChunk(Buffer.from('ab')),
      encodeChunk(Buffer.from('c')),
      encodeLastChunk(['X', '1']),
    ]);
    const said = responsesIn([encodeResponseHead({...RESPONSE, framing: {kind: 'chunked'}}), body]);
    expect(said.slice(1)).toEqual([
      {kind: 'body', text: 'abc'},
      {kind: 'end', trailers: ['X', '1']},
    ]);
  });
});
