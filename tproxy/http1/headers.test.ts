import {describe, expect, test} from '@jest/globals';
import {connectionOptions, endToEnd, get, getAll, has, listOf, wantsTrailers, without} from './headers.ts';

const LINES = ['Accept', 'a', 'X-B', '1', 'accept', 'b, c', 'x-b', ''];

describe('looking into field lines', () => {
  test('names are compared without letter case, values come in order', () => {
    expect(get(LINES, 'accept')).toBe('a');
    expect(get(LINES, 'x-c')).toBeNull();
    expect(getAll(LINES, 'x-b')).toEqual(['1', '']);
    expect(has(LINES, 'x-b')).toBe(true);
    expect(has(LINES, 'a')).toBe(false);
  });

  test('values are not taken for names', () => {
    expect(get(['x', 'host', 'y', 'z'], 'host')).toBeNull();
  });

  test('lists run over all lines, lower-case, without empty members', () => {
    expect(listOf(['A', 'x,\t Y ,,', 'b', 'q', 'a', ' z'], 'a')).toEqual(['x', 'y', 'z']);
  });

  test('without leaves the rest as it was', () => {
    expect(without(LINES, new Set(['accept']))).toEqual(['X-B', '1', 'x-b', '']);
  });

  test('TE: trailers', () => {
    expect(wantsTrailers(['TE', 'gzip;q=0.5, Trailers'])).toBe(true);
    expect(wantsTrailers(['TE', 'gzip'])).toBe(false);
  });
});

describe('what is passed on (RFC 9110 §7.6.1)', () => {
  const stripped = [
    'Connection', 'Proxy-Connection', 'Keep-Alive', 'TE', 'Transfer-Encoding', 'Upgrade', 'Proxy-Authorization',
    'Proxy-Authenticate', 'Proxy-Authentication-Info', 'HTTP2-Settings', 'Host', 'Content-Length', 'Expect',
  ]; // prettier-ignore
  test.each(stripped)('%s is not, in any letter case', (name) => {
    expect(endToEnd(['X-A', '1', name, 'x', name.toLowerCase(), 'y', 'X-B', '2'])).toEqual(['X-A', '1', 'X-B', '2']);
  });

  test('Trailer and unknown fields are', () => {
    expect(endToEnd(['Trailer', 'X-T', 'Via', '1.1 a', 'x-A', '1'])).toEqual([
      'Trailer',
      'X-T',
      'Via',
      '1.1 a',
      'x-A',
      '1',
    ]);
  });

  test('what Connection names is not, wherever it stands', () => {
    expect(
      endToEnd([
        'X-Hop',
        '1',
        'Connection',
        'close, X-HOP',
        'x-hop',
        '2',
        'connection',
        'x-other',
        'X-Other',
        '3',
        'X',
        '4',
      ]),
    ).toEqual(['X', '4']);
    expect(connectionOptions(['Connection', 'close, X-HOP', 'connection', 'x-other'])).toEqual([
      'close',
      'x-hop',
      'x-other',
    ]);
  });

  test('a Connection cannot take away what the recipient needs', () => {
    expect(endToEnd(['Connection', 'content-type, cache-control', 'Content-Type', 'a', 'Cache-Control', 'b'])).toEqual([
      'Content-Type',
      'a',
      'Cache-Control',
      'b',
    ]);
  });

  test('a length without a body is kept where that is asked for', () => {
    expect(endToEnd(['Content-Length', '5', 'Transfer-Encoding', 'chunked'], true)).toEqual(['Content-Length', '5']);
    expect(endToEnd(['Connection', 'content-length', 'Content-Length', '5'], true)).toEqual(['Content-Length', '5']);
  });
});
