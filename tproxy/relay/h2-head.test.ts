/** Heads of HTTP/2 as they are judged here: nghttp2 refuses most of these too, and what it lets through must not matter. */
import {describe, expect, test} from '@jest/globals';
import {readH2Head} from './h2-head.ts';

const GET = [':method', 'GET', ':scheme', 'https', ':authority', 'a.test', ':path', '/a?b'];
const POST = [':method', 'POST', ...GET.slice(2)];

describe('a head is refused', () => {
  test.each<[string, string[], boolean, RegExp]>([
    [
      'with two Hosts, for servers choose one of them',
      [...GET, 'host', 'a.test', 'host', 'b.test'],
      true,
      /More than one Host/,
    ],
    [
      'with a length and no body, for the next request would be read as it',
      [...POST, 'content-length', '5'],
      true,
      /there is none/,
    ],
    ['with two lengths', [...POST, 'content-length', '5', 'content-length', '6'], false, /two that differ/],
    ['with a length that is no number', [...POST, 'content-length', '+5'], false, /no number/],
    [
      'with a length of more digits than a number holds',
      [...POST, 'content-length', '1'.repeat(16)],
      false,
      /no number/,
    ],
    [
      'with a line break in a value, which is a line of HTTP/1',
      [...GET, 'x', 'y\r\nhost: b.test'],
      true,
      /control characters/,
    ],
    ['with a lone LF in a value', [...GET, 'x', 'y\nz'], true, /control characters/],
    ['with a NUL in a value', [...GET, 'x', 'y\0z'], true, /control characters/],
    ['with a character that is no byte', [...GET, 'x', '\u0100'], true, /control characters/],
    [
      'with a space in the path, behind which another request could stand',
      [...GET.slice(0, 6), ':path', '/ HTTP/1.1'],
      true,
      /no request target has/,
    ],
    [
      'with a fragment, where a rule stops and a server may go on',
      [...GET.slice(0, 6), ':path', '/a#b'],
      true,
      /no request target has/,
    ],
    ['with a path of another form', [...GET.slice(0, 6), ':path', 'http://b.test/'], true, /begin with a slash/],
    ['without a path', GET.slice(0, 6), true, /begin with a slash/],
    ['without a method', GET.slice(2), true, /No method/],
    ['with fields of an HTTP/1 connection', [...GET, 'transfer-encoding', 'chunked'], true, /no place in HTTP\/2/],
    [
      'with a name that servers take for framing once it is HTTP/1',
      [...GET, 'content_length', '5'],
      true,
      /no place in HTTP\/2/,
    ],
    ['with TE for more than trailers', [...GET, 'te', 'gzip'], true, /nothing but trailers/],
    ['with an unknown expectation', [...GET, 'expect', 'x'], true, /something other than 100-continue/],
    ['with a pseudo-header that nobody knows', [':x', 'y', ...GET], true, /unknown pseudo-header/],
  ])('%s', (_why, raw, ended, message) => {
    expect(readH2Head(raw, ended)).toEqual({kind: 'bad', message: expect.stringMatching(message)});
  });
});

describe('a head is read', () => {
  test('with its parts, and what is for us alone left out', () => {
    expect(
      readH2Head([...GET, 'accept', '*/*', 'te', 'trailers', 'proxy-authorization', 'Basic x'], true),
    ).toMatchObject({
      kind: 'head',
      message: {
        http: {version: '2', method: 'GET', scheme: 'https', authority: 'a.test', path: '/a', query: 'b', host: null},
        headers: ['accept', '*/*'],
        body: {kind: 'none'},
        wantsTrailers: true,
      },
    });
  });

  test('with its body by length, or by its end where none was said', () => {
    expect(readH2Head([...POST, 'content-length', '5'], false)).toMatchObject({
      message: {body: {kind: 'length', bytes: 5}},
    });
    expect(readH2Head(POST, false)).toMatchObject({message: {body: {kind: 'chunked'}}});
  });

  test('with the crumbs of its cookie as one line (RFC 9113 §8.2.3)', () => {
    expect(readH2Head([...GET, 'cookie', 'a=1', 'x', 'y', 'cookie', 'b=2'], true)).toMatchObject({
      message: {headers: ['cookie', 'a=1; b=2', 'x', 'y']},
    });
  });
});
