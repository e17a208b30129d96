import {describe, expect, test} from '@jest/globals';
import {createResponseParser} from './response.ts';
import {latin1, responseHead, responsesIn, story, verdict} from './test-support.ts';
import type {Asked} from './test-support.ts';

const response = (line: string, ...fields: string[]): string => [line, ...fields, '', ''].join('\r\n');
const ok = (...fields: string[]): string => response('HTTP/1.1 200 OK', ...fields);
const SWITCH = response('HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket');

describe('a response that is refused, with the rule that it breaks', () => {
  const refused: [what: string, bytes: string, code: string, asked?: Asked][] = [
    // Status line (RFC 9112 §4)
    ['version 2.0', response('HTTP/2.0 200 OK'), 'BadVersion'],
    ['version 1.2', response('HTTP/1.2 200 OK'), 'BadVersion'],
    ['another protocol', response('ICY 200 OK'), 'BadVersion'],
    ['a short line', response('HTTP'), 'BadStatusLine'],
    ['no status', response('HTTP/1.1'), 'BadStatusLine'],
    ['a status of two digits', response('HTTP/1.1 20 OK'), 'BadStatusLine'],
    ['a status of four digits', response('HTTP/1.1 2000 OK'), 'BadStatusLine'],
    ['a status that is no number', response('HTTP/1.1 2x0 OK'), 'BadStatusLine'],
    ['two spaces before the status', response('HTTP/1.1  200 OK'), 'BadStatusLine'],
    ['status 600', response('HTTP/1.1 600 OK'), 'BadStatus'],
    ['status 099', response('HTTP/1.1 099 OK'), 'BadStatus'],
    ['a CR in the reason', response('HTTP/1.1 200 O\rK'), 'BareCr'],
    ['a control character in the reason', response('HTTP/1.1 200 O\x01K'), 'BadStatusLine'],
    ['LF alone after the status line', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n', 'BareLf'],
    ['an empty line before it', `\r\n${ok('Content-Length: 0')}`, 'BadStatusLine'],
    ['LF alone before it', `\n${ok('Content-Length: 0')}`, 'BareLf'],
    ['white space before the first field line', 'HTTP/1.1 200 OK\r\n X: 1\r\n\r\n', 'ObsFold'],
    ['white space before a colon', ok('X : 1'), 'SpaceBeforeColon'],
    ['a NUL in a value', ok('X: \0'), 'BadFieldValue'],
    ['a head beyond the limit', ok(`X: ${'a'.repeat(65_536)}`), 'HeadTooLarge'],
    ['a status line beyond the limit', `HTTP/1.1 200 ${'a'.repeat(65_536)}`, 'HeadTooLarge'],
    ['more fields than the limit', ok(...Array.from({length: 201}, () => 'X: 1')), 'TooManyHeaders'],
    ['a Connection that names Content-Length', ok('Connection: content-length', 'Content-Length: 0'), 'ConnectionNamesEndToEnd'],
    ['a Connection that is no list of tokens', ok('Connection: "close"', 'Content-Length: 0'), 'BadConnection'],

    // Framing (RFC 9112 §6.3)
    ['both framing fields', ok('Content-Length: 5', 'Transfer-Encoding: chunked'), 'LengthAndEncoding'],
    ['both framing fields to HEAD', ok('Content-Length: 5', 'Transfer-Encoding: chunked'), 'LengthAndEncoding', {method: 'HEAD'}],
    ['both framing fields to CONNECT', ok('Content-Length: 5', 'Transfer-Encoding: chunked'), 'LengthAndEncoding', {method: 'CONNECT'}],
    ['two lengths', ok('Content-Length: 5', 'Content-Length: 5'), 'DuplicateContentLength'],
    ['a list of lengths', ok('Content-Length: 5, 5'), 'DuplicateContentLength'],
    ['a signed length', ok('Content-Length: +5'), 'BadContentLength'],
    ['a bad length to HEAD', ok('Content-Length: -5'), 'BadContentLength', {method: 'HEAD'}],
    ['a coding that is not chunked', ok('Transfer-Encoding: gzip'), 'UnsupportedCoding'],
    ['a coding before chunked', ok('Transfer-Encoding: gzip, chunked'), 'UnsupportedCoding'],
    ['identity', ok('Transfer-Encoding: identity'), 'UnsupportedCoding'],
    ['chunked in HTTP/1.0', response('HTTP/1.0 200 OK', 'Transfer-Encoding: chunked'), 'EncodingInHttp10'],
    ['204 with a length', response('HTTP/1.1 204 No Content', 'Content-Length: 5'), 'BodyNotAllowed'],
    ['204 with chunks', response('HTTP/1.1 204 No Content', 'Transfer-Encoding: chunked'), 'BodyNotAllowed'],
    ['100 with a length', response('HTTP/1.1 100 Continue', 'Content-Length: 5'), 'BodyNotAllowed'],
    ['103 with chunks', response('HTTP/1.1 103 Early Hints', 'Transfer-Encoding: chunked'), 'BodyNotAllowed'],
    ['a bad chunk', `${ok('Transfer-Encoding: chunked')}0x5\r\n`, 'BadChunkSize'],
    ['a forbidden trailer', `${ok('Transfer-Encoding: chunked')}0\r\nSet-Cookie: a=b\r\n\r\n`, 'ForbiddenTrailer'],

    // 1xx (RFC 9110 §15.2)
    ['100 in HTTP/1.0', response('HTTP/1.0 100 Continue'), 'InformationalInHttp10'],
    ['101 that was not asked for', SWITCH, 'UnaskedSwitch'],
    ['101 to CONNECT', SWITCH, 'UnaskedSwitch', {method: 'CONNECT'}],
    ['101 without a protocol', response('HTTP/1.1 101 Switching Protocols'), 'BadSwitch', {upgrade: true}],
    ['101 to what is no protocol', response('HTTP/1.1 101 Switching', 'Upgrade: a b'), 'BadSwitch', {upgrade: true}],
    ['a flood of 1xx', response('HTTP/1.1 102 Processing').repeat(33), 'TooManyInformational'],

    // More than was asked for (RFC 9112 §9.2)
    ['bytes after a response', `${ok('Content-Length: 5')}helloX`, 'UnaskedResponse'],
    ['an empty line after a response', `${ok('Content-Length: 5')}hello\r\n`, 'UnaskedResponse'],
    ['a body after 204', `${response('HTTP/1.1 204 No Content', 'Content-Length: 0')}hello`, 'UnaskedResponse'],
    ['a body after the answer to HEAD', `${ok('Content-Length: 5')}hello`, 'UnaskedResponse', {method: 'HEAD'}],
    ['a body after 304', `${response('HTTP/1.1 304 Not Modified', 'Content-Length: 5')}hello`, 'UnaskedResponse'],
    ['a second response', ok('Content-Length: 0').repeat(2), 'UnaskedResponse'],
  ]; // prettier-ignore

  test.each(refused)('%s', (_what, bytes, code, asked = {}) => {
    expect(verdict(responsesIn(bytes, [asked]))).toBe(code);
  });

  test('a response when nothing was asked', () => {
    expect(verdict(responsesIn(ok('Content-Length: 0'), []))).toBe('UnaskedResponse');
  });

  test('bytes that were there before the request was sent are not its answer', () => {
    const parser = createResponseParser();
    parser.expect({method: 'GET', upgrade: false});
    parser.feed(latin1(`${ok('Content-Length: 0')}${ok('X: poisoned', 'Content-Length: 0')}`));
    expect([parser.next().kind, parser.next().kind]).toEqual(['head', 'end']);
    parser.expect({method: 'GET', upgrade: false});
    expect(parser.next()).toMatchObject({kind: 'bad', code: 'UnaskedResponse', at: ok('Content-Length: 0').length});
  });

  test('two requests at a time are the caller’s mistake', () => {
    const parser = createResponseParser();
    parser.expect({method: 'GET', upgrade: false});
    expect(() => parser.expect({method: 'GET', upgrade: false})).toThrow('one request at a time');
  });
});

describe('a response that is taken', () => {
  const taken: [what: string, bytes: string, has: object, asked?: Asked][] = [
    ['with a length', ok('Content-Length: 5'), {status: 200, reasonPhrase: 'OK', version: '1.1', framing: {kind: 'length', bytes: 5}, keepAlive: true}],
    ['with chunks', ok('Transfer-Encoding: chunked'), {framing: {kind: 'chunked'}, keepAlive: true}],
    ['with neither', ok(), {framing: {kind: 'close'}, keepAlive: false}],
    ['with close', ok('Content-Length: 5', 'Connection: close'), {keepAlive: false}],
    ['without a reason', response('HTTP/1.1 404 ', 'Content-Length: 0'), {status: 404, reasonPhrase: ''}],
    ['without a reason and its space', response('HTTP/1.1 404', 'Content-Length: 0'), {status: 404, reasonPhrase: ''}],
    ['with opaque bytes in its reason', response('HTTP/1.1 599 caf\xe9 \t!', 'Content-Length: 0'), {status: 599, reasonPhrase: 'caf\xe9 \t!'}],
    ['of HTTP/1.0', response('HTTP/1.0 200 OK', 'Content-Length: 5'), {version: '1.0', keepAlive: false}],
    ['of HTTP/1.0 with keep-alive', response('HTTP/1.0 200 OK', 'Content-Length: 5', 'Connection: keep-alive'), {keepAlive: true}],
    ['of HTTP/1.0 with keep-alive and no length', response('HTTP/1.0 200 OK', 'Connection: keep-alive'), {keepAlive: false, framing: {kind: 'close'}}],
    ['to HEAD', ok('Content-Length: 5'), {framing: {kind: 'none'}, keepAlive: true}, {method: 'HEAD'}],
    ['to HEAD with chunks', ok('Transfer-Encoding: chunked'), {framing: {kind: 'none'}}, {method: 'HEAD'}],
    ['to HEAD with neither', ok(), {framing: {kind: 'none'}, keepAlive: true}, {method: 'HEAD'}],
    ['204', response('HTTP/1.1 204 No Content'), {framing: {kind: 'none'}, keepAlive: true}],
    ['204 with a length of nothing', response('HTTP/1.1 204 No Content', 'Content-Length: 0'), {framing: {kind: 'none'}}],
    ['304 with a length', response('HTTP/1.1 304 Not Modified', 'Content-Length: 5'), {framing: {kind: 'none'}}],
    ['101 that was asked for', SWITCH, {status: 101, framing: {kind: 'none'}, keepAlive: false}, {upgrade: true}],
    ['200 to CONNECT', ok('Content-Length: 5'), {framing: {kind: 'none'}, keepAlive: false}, {method: 'CONNECT'}],
    ['299 to CONNECT, with chunks', response('HTTP/1.1 299 Ok', 'Transfer-Encoding: chunked'), {framing: {kind: 'none'}}, {method: 'CONNECT'}],
    ['407 to CONNECT has a body', response('HTTP/1.1 407 No', 'Content-Length: 5'), {framing: {kind: 'length', bytes: 5}, keepAlive: true}, {method: 'CONNECT'}],
    ['a refused upgrade', ok('Content-Length: 5'), {framing: {kind: 'length', bytes: 5}}, {upgrade: true}],
  ]; // prettier-ignore

  test.each(taken)('%s', (_what, bytes, has, asked = {}) => {
    expect(responseHead(responsesIn(bytes, [asked]))).toMatchObject(has);
  });

  test('1xx come before it, as many as the limit', () => {
    const interim = response('HTTP/1.1 103 Early Hints', 'Link: </a>');
    const said = responsesIn(`${interim.repeat(32)}${ok('Content-Length: 1')}x`);
    expect(story(said)).toEqual([...Array.from({length: 32}, () => 'informational 103'), 'head', 'body x', 'end']);
    expect(responseHead(said).headers).toEqual(['Link', '</a>']);
  });

  test('1xx are counted for each response anew', () => {
    const one = `${response('HTTP/1.1 102 Processing').repeat(32)}${ok('Content-Length: 0')}`;
    expect(verdict(responsesIn([one, one], [{}, {}]))).toBe('end');
  });

  test('responses one after another, each asked for', () => {
    const asked = [{}, {method: 'HEAD'}, {}];
    const pieces = [
      `${ok('Content-Length: 2')}ab`,
      ok('Content-Length: 9'),
      `${ok('Transfer-Encoding: chunked')}1\r\nc\r\n0\r\n\r\n`,
    ];
    expect(story(responsesIn(pieces, asked))).toEqual([
      'head',
      'body ab',
      'end',
      'head',
      'end',
      'head',
      'body c',
      'end',
    ]);
  });
});

describe('after a 101 and a CONNECT’s 2xx comes a tunnel', () => {
  const tunnels: [string, string, Asked][] = [
    ['101', SWITCH, {upgrade: true}],
    ['200 to CONNECT', ok('Content-Length: 0'), {method: 'CONNECT'}],
  ];
  test.each(tunnels)('%s: rest() gives its first bytes', (_what, bytes, asked) => {
    const parser = createResponseParser();
    parser.expect({method: asked.method ?? 'GET', upgrade: asked.upgrade ?? false});
    parser.feed(latin1(`${bytes}\x81\x05`));
    parser.feed(latin1('hello'));
    expect([parser.next().kind, parser.next().kind, parser.next().kind]).toEqual(['head', 'end', 'more']);
    expect(parser.rest().toString('latin1')).toBe('\x81\x05hello');
    expect(parser.next().kind).toBe('more');
    expect(parser.finish().kind).toBe('more');
  });
});

describe('the end of the connection', () => {
  const ends: [what: string, bytes: string, says: string[], asked?: Asked[]][] = [
    ['ends a body without a length', `${ok()}hello`, ['head', 'body hello', 'end']],
    ['ends an empty body without a length', ok(), ['head', 'end']],
    ['is nothing where nothing was asked', '', [], []],
    ['is nothing after a response', ok('Content-Length: 0'), ['head', 'end']],
    ['before the first byte', '', ['bad NoResponse']],
    ['in a status line', 'HTTP/1.1 2', ['bad Truncated']],
    ['in a head', 'HTTP/1.1 200 OK\r\n', ['bad Truncated']],
    ['after a 1xx', response('HTTP/1.1 100 Continue'), ['informational 100', 'bad Truncated']],
    ['in a body with a length', `${ok('Content-Length: 5')}hell`, ['head', 'body hell', 'bad Truncated']],
    ['before the last chunk', `${ok('Transfer-Encoding: chunked')}1\r\na\r\n`, ['head', 'body a', 'bad Truncated']],
    ['in the trailers', `${ok('Transfer-Encoding: chunked')}0\r\n`, ['head', 'bad Truncated']],
  ]; // prettier-ignore
  test.each(ends)('%s', (_what, bytes, says, asked = [{}]) => {
    expect(story(responsesIn([bytes], asked, {finish: true}))).toEqual(says);
  });

  test('what was not read yet comes before the end', () => {
    const parser = createResponseParser();
    parser.expect({method: 'GET', upgrade: false});
    parser.feed(latin1(`${ok()}hello`));
    expect(parser.finish().kind).toBe('head');
    expect(parser.next().kind).toBe('body');
    expect(parser.next()).toEqual({kind: 'end', trailers: []});
    expect(parser.finish().kind).toBe('more');
  });
});
