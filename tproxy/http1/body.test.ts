import {describe, expect, test} from '@jest/globals';
import {requestsIn, story, verdict} from './test-support.ts';

const HEAD = 'POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n';
const chunked = (body: string, limits = {}): ReturnType<typeof requestsIn> => requestsIn(HEAD + body, limits);

describe('a chunked body that is refused (RFC 9112 §7.1)', () => {
  const refused: [what: string, body: string, code: string][] = [
    ['no size', '\r\nhello\r\n', 'BadChunkSize'],
    ['a size with a prefix', '0x5\r\nhello\r\n', 'BadChunkSize'],
    ['a signed size', '+5\r\nhello\r\n', 'BadChunkSize'],
    ['a negative size', '-5\r\nhello\r\n', 'BadChunkSize'],
    ['white space before the size', ' 5\r\nhello\r\n', 'BadChunkSize'],
    ['white space after the size', '5 \r\nhello\r\n', 'BadChunkSize'],
    ['a tab after the size', '5\t\r\nhello\r\n', 'BadChunkSize'],
    ['an underscore in the size', '1_0\r\nhello\r\n', 'BadChunkSize'],
    ['a size that is no number', 'g\r\nhello\r\n', 'BadChunkSize'],
    ['a size of nine digits', '000000005\r\nhello\r\n', 'ChunkSizeTooLong'],
    ['a size that overflows 64 bits', '10000000000000005\r\nhello\r\n', 'ChunkSizeTooLong'],
    ['a size line that ends with LF alone', '5\nhello\r\n', 'BareLf'],
    ['a size line that ends with CR alone', '5\rhello\r\n', 'BareCr'],
    ['a CR before the CRLF of the size line', '5\r\r\nhello\r\n', 'BareCr'],
    ['a NUL after the size', '5\0\r\nhello\r\n', 'BadChunkSize'],
    ['an extension without a name', '5;\r\nhello\r\n', 'BadChunkExtension'],
    ['an extension without a value', '5;a=\r\nhello\r\n', 'BadChunkExtension'],
    ['white space before an extension', '5 ;a=b\r\nhello\r\n', 'BadChunkSize'],
    ['white space in an extension', '5; a=b\r\nhello\r\n', 'BadChunkExtension'],
    ['an extension with an open quote', '5;a="b\r\nhello\r\n', 'BadChunkExtension'],
    ['an extension with an escape before the end', '5;a="b\\\r\nhello\r\n', 'BadChunkExtension'],
    ['an extension with text behind the quote', '5;a="b"c\r\nhello\r\n', 'BadChunkExtension'],
    ['an extension with a NUL', '5;a="\0"\r\nhello\r\n', 'BadChunkExtension'],
    ['an extension with LF alone', '5;a=b\nhello\r\n', 'BareLf'],
    ['an extension with CR alone', '5;a\rb\r\nhello\r\n', 'BareCr'],
    ['an extension beyond the limit', `5;${'a'.repeat(512)}\r\nhello\r\n`, 'ChunkLineTooLong'],
    ['a size line that does not end', '5;' + 'a'.repeat(512), 'ChunkLineTooLong'],
    ['extensions beyond the limit of a body', `1;${'a'.repeat(500)}\r\nx\r\n`.repeat(9), 'ChunkExtensionsTooLarge'],
    ['data that is longer than its size', '4\r\nhello\r\n', 'BadChunkEnd'],
    ['data that ends with LF alone', '5\r\nhello\n0\r\n\r\n', 'BadChunkEnd'],
    ['data that ends with CR alone', '5\r\nhello\r0\r\n\r\n', 'BadChunkEnd'],
    ['data that ends with two other bytes', '5\r\nhelloXX0\r\n\r\n', 'BadChunkEnd'],
    ['a last chunk that ends with LF alone', '0\r\n\n', 'BareLf'],
    ['a last chunk with CR alone', '0\r\n\rX\r\n', 'BareCr'],
    ['a trailer that ends with LF alone', '0\r\nX: 1\n\r\n', 'BareLf'],
    ['a trailer with white space before the colon', '0\r\nX : 1\r\n\r\n', 'SpaceBeforeColon'],
    ['a folded trailer', '0\r\nX: 1\r\n 2\r\n\r\n', 'ObsFold'],
    ['a trailer with a NUL', '0\r\nX: \0\r\n\r\n', 'BadFieldValue'],
    ['trailers beyond the limit', `0\r\nX: ${'a'.repeat(16_384)}\r\n\r\n`, 'TrailersTooLarge'],
    ['trailers that do not end', `0\r\nX: ${'a'.repeat(16_384)}`, 'TrailersTooLarge'],
    ['more trailers than the limit', `0\r\n${'X: 1\r\n'.repeat(201)}\r\n`, 'TooManyHeaders'],
  ]; // prettier-ignore

  test.each(refused)('%s', (_what, body, code) => {
    expect(verdict(chunked(body))).toBe(code);
  });

  const noTrailers = [
    'Content-Length', 'Transfer-Encoding', 'Host', 'Trailer', 'Connection', 'Upgrade', 'TE', 'Authorization', 'Cookie',
    'Set-Cookie', 'Proxy-Authorization', 'Proxy-Anything', 'Content-Type', 'Content-Encoding', 'Content-Range',
    'Cache-Control', 'Expect', 'If-Match', 'Range', 'Location', 'X-HTTP-Method-Override', 'X-Original-URL', 'X-Forwarded-For',
  ]; // prettier-ignore
  test.each(noTrailers)('the trailer %s', (name) => {
    expect(verdict(chunked(`0\r\n${name}: 1\r\n\r\n`))).toBe('ForbiddenTrailer');
    expect(verdict(chunked(`0\r\nX-Fine: 1\r\n${name.toUpperCase()}: 1\r\n`))).toBe('ForbiddenTrailer');
  });
});

describe('a chunked body that is taken', () => {
  const taken: [what: string, body: string, says: string[]][] = [
    ['chunks', '5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n', ['head', 'body hello!', 'end']],
    ['nothing', '0\r\n\r\n', ['head', 'end']],
    ['sizes in either letter case', 'a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n', ['head', 'body 01234567890123456789', 'end']],
    ['sizes of fixed width', '00000005\r\nhello\r\n00000000\r\n\r\n', ['head', 'body hello', 'end']],
    ['extensions, which are not passed on', '5;a;b=c;d="e;\\"f\r\t"\r\nhello\r\n0;last\r\n\r\n'.replace('\r\t', '\t'), ['head', 'body hello', 'end']],
    ['data that looks like chunks', '7\r\n0\r\n\r\n0\r\r\n0\r\n\r\n', ['head', 'body 0\r\n\r\n0\r', 'end']],
    ['and the next request behind it', `0\r\n\r\n${HEAD}0\r\n\r\n`, ['head', 'end', 'head', 'end']],
  ]; // prettier-ignore

  test.each(taken)('%s', (_what, body, says) => {
    expect(story(chunked(body))).toEqual(says);
  });

  test('trailers keep their order and letter case', () => {
    expect(chunked('0\r\nX-B: 1\r\nx-a:\t2 \r\n\r\n').at(-1)).toEqual({
      kind: 'end',
      trailers: ['X-B', '1', 'x-a', '2'],
    });
  });

  test('trailers of one request are not those of the next', () => {
    expect(chunked(`0\r\nX: 1\r\n\r\n${HEAD}0\r\nY: 2\r\n\r\n`).at(-1)).toEqual({kind: 'end', trailers: ['Y', '2']});
  });

  test('extensions are counted for each body anew', () => {
    const body = `1;${'a'.repeat(500)}\r\nx\r\n`.repeat(8) + '0\r\n\r\n';
    expect(verdict(chunked(`${body}${HEAD}${body}`))).toBe('end');
  });
});
