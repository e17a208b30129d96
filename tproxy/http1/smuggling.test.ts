/**
 * Published ways to make two parsers see different messages in the same bytes. Each is refused, and of what was hidden
 * behind it no second message is ever seen.
 */
import {describe, expect, test} from '@jest/globals';
import {requestsIn, responsesIn, verdict} from './test-support.ts';
import type {Said} from './test-support.ts';

const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: b.test\r\n\r\n';
const post = (...fields: string[]): string => ['POST / HTTP/1.1', 'Host: a.test', ...fields, '', ''].join('\r\n');
const heads = (said: readonly Said[]): number => said.filter((one) => one.kind === 'head').length;

describe('request smuggling', () => {
  const CHUNKED = 'Transfer-Encoding: chunked';
  const cases: [what: string, bytes: string, code: string][] = [
    // Kettle, "HTTP Desync Attacks" (2019): who believes which field
    ['CL.TE', `${post('Content-Length: 6', CHUNKED)}0\r\n\r\nG${HIDDEN}`, 'LengthAndEncoding'],
    ['TE.CL', `${post(CHUNKED, 'Content-Length: 4')}2f\r\n${HIDDEN}0\r\n\r\n`, 'LengthAndEncoding'],
    ['TE.TE: a second line', `${post(CHUNKED, 'Transfer-Encoding: x')}0\r\n\r\n${HIDDEN}`, 'DuplicateTransferEncoding'],
    ['TE.TE: another letter case of the name', `${post(CHUNKED, 'tRANSFER-eNCODING: identity')}0\r\n\r\n${HIDDEN}`, 'DuplicateTransferEncoding'],
    ['TE.TE: xchunked', `${post('Transfer-Encoding: xchunked')}0\r\n\r\n${HIDDEN}`, 'UnsupportedCoding'],
    ['TE.TE: white space before the colon', `${post('Transfer-Encoding : chunked')}0\r\n\r\n${HIDDEN}`, 'SpaceBeforeColon'],
    ['TE.TE: a tab before the colon', `${post('Transfer-Encoding\t: chunked')}0\r\n\r\n${HIDDEN}`, 'SpaceBeforeColon'],
    ['TE.TE: a vertical tab before the value', `${post('Transfer-Encoding:\x0bchunked')}0\r\n\r\n${HIDDEN}`, 'BadFieldValue'],
    ['TE.TE: a form feed behind the value', `${post('Transfer-Encoding: chunked\x0c')}0\r\n\r\n${HIDDEN}`, 'BadFieldValue'],
    ['TE.TE: a NUL behind the value', `${post('Transfer-Encoding: chunked\0')}0\r\n\r\n${HIDDEN}`, 'BadFieldValue'],
    ['TE.TE: a no-break space behind the value', `${post('Transfer-Encoding: chunked\xa0')}0\r\n\r\n${HIDDEN}`, 'UnsupportedCoding'],
    ['TE.TE: in a folded line', `${post('Transfer-Encoding:', ' chunked')}0\r\n\r\n${HIDDEN}`, 'ObsFold'],
    ['TE.TE: folded behind another field', `${post('X: a', ' Transfer-Encoding: chunked')}0\r\n\r\n${HIDDEN}`, 'ObsFold'],
    ['TE.TE: behind LF alone', `${post(`X: a\n${CHUNKED}`)}0\r\n\r\n${HIDDEN}`, 'BareLf'],
    ['TE.TE: behind CR alone', `${post(`X: a\r${CHUNKED}`)}0\r\n\r\n${HIDDEN}`, 'BareCr'],
    ['TE.TE: an underscore in the name', `${post('Transfer_Encoding: chunked')}0\r\n\r\n${HIDDEN}`, 'FramingLookalike'],
    ['a length with an underscore in the name', `${post('CONTENT_LENGTH: 5', 'Content-Length: 0')}${HIDDEN}`, 'FramingLookalike'],
    ['a length with a plus (CVE-2018-7159)', `${post(`Content-Length: +${HIDDEN.length}`)}${HIDDEN}`, 'BadContentLength'],
    ['a length in two lines', `${post(`Content-Length: 0`, `Content-Length: ${HIDDEN.length}`)}${HIDDEN}`, 'DuplicateContentLength'],
    ['a length with a comma', `${post(`Content-Length: 0,${HIDDEN.length}`)}${HIDDEN}`, 'DuplicateContentLength'],
    ['a length with a space inside (CVE-2018-7159)', `${post(`Content-Length: 1 2`)}${HIDDEN}`, 'BadContentLength'],
    ['a length behind a space (CVE-2019-16869)', `${post(`Content-Length : 3`)}abc${HIDDEN}`, 'SpaceBeforeColon'],
    ['a length that wraps around', `${post('Content-Length: 4294967296')}${HIDDEN}`.replace('4294967296', '18446744073709551616'), 'BadContentLength'],
    ['HTTP/1.0 with chunks', `${post(CHUNKED).replace('HTTP/1.1', 'HTTP/1.0')}0\r\n\r\n${HIDDEN}`, 'EncodingInHttp10'],
    // CL.0 and 0.CL (Kettle 2022, 2025): a body that one side takes for the next request
    ['CL.0: an upgrade with a body', `${post('Connection: upgrade', 'Upgrade: x', `Content-Length: ${HIDDEN.length}`)}${HIDDEN}`, 'UpgradeWithBody'],
    ['CL.0: CONNECT with a body', `CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nContent-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`, 'ConnectWithBody'],
    ['0.CL: a length hidden by white space before it', `POST / HTTP/1.1\r\n Content-Length: ${HIDDEN.length}\r\nHost: a.test\r\n\r\n${HIDDEN}`, 'ObsFold'],
    ['0.CL: a length that Connection takes away', `${post('Connection: Content-Length', `Content-Length: ${HIDDEN.length}`)}${HIDDEN}`, 'ConnectionNamesEndToEnd'],
    ['chunks that Connection takes away', `${post('Connection: Transfer-Encoding', CHUNKED)}0\r\n\r\n${HIDDEN}`, 'ConnectionNamesEndToEnd'],
    ['a Host that Connection takes away', post('Connection: Host'), 'ConnectionNamesEndToEnd'],
    // The line terminators of chunks: TERM.EXT, EXT.TERM, TERM.SPILL, SPILL.TERM (Wiesner 2025; CVE-2025-22871, CVE-2025-55315)
    ['TERM.EXT: LF alone ends a size line', `${post(CHUNKED)}2;\nxx\r\n2f\r\n0\r\n\r\n${HIDDEN}\r\n0\r\n\r\n`, 'BareLf'],
    ['EXT.TERM: CR alone in an extension', `${post(CHUNKED)}2;a\rxx\r\n0\r\n\r\n${HIDDEN}`, 'BareCr'],
    ['EXT.TERM: LF alone in a quoted extension', `${post(CHUNKED)}2;a="\n"\r\nxx\r\n0\r\n\r\n${HIDDEN}`, 'BareLf'],
    ['TERM.SPILL: LF alone after the data', `${post(CHUNKED)}5\r\nAAAAA\n0\r\n\r\n${HIDDEN}`, 'BadChunkEnd'],
    ['SPILL.TERM: data beyond its size', `${post(CHUNKED)}5\r\nAAAAAXX0\r\n\r\n${HIDDEN}`, 'BadChunkEnd'],
    ['two bytes that are skipped where CRLF should be', `${post(CHUNKED)}2\r\nabXX2\r\ncd\r\n0\r\n\r\n${HIDDEN}`, 'BadChunkEnd'],
    ['LF alone before a size line', `${post(CHUNKED)}\n5\r\nhello\r\n0\r\n\r\n${HIDDEN}`, 'BareLf'],
    ['a size with 0x (CVE-2022-26377 and others)', `${post(CHUNKED)}0x2f\r\n${HIDDEN}\r\n0\r\n\r\n`, 'BadChunkSize'],
    ['a size that is cut to 32 bits', `${post(CHUNKED)}100000000\r\n0\r\n\r\n${HIDDEN}`, 'ChunkSizeTooLong'],
    ['a size with a space inside', `${post(CHUNKED)}0 2f\r\n${HIDDEN}\r\n0\r\n\r\n`, 'BadChunkSize'],
    ['an empty size', `${post(CHUNKED)};x\r\n0\r\n\r\n${HIDDEN}`, 'BadChunkSize'],
    ['LF alone ends the trailers', `${post(CHUNKED)}0\r\n\n${HIDDEN}`, 'BareLf'],
    ['a length in the trailers (CVE-2022-41721 and others)', `${post(CHUNKED)}0\r\nContent-Length: 5\r\n\r\n${HIDDEN}`, 'ForbiddenTrailer'],
    ['a Host in the trailers', `${post(CHUNKED)}0\r\nHost: b.test\r\n\r\n${HIDDEN}`, 'ForbiddenTrailer'],
    // The request line
    ['a second request line in the target', 'GET / HTTP/1.1\rHost: b.test HTTP/1.1\r\nHost: a.test\r\n\r\n', 'BadVersion'],
    ['a version that ends early', 'GET /hidden HTTP/1.1 / HTTP/1.1\r\nHost: a.test\r\n\r\n', 'BadVersion'],
    ['LF alone between two request lines', `GET / HTTP/1.1\nGET /hidden HTTP/1.1\r\nHost: b.test\r\n\r\n`, 'BareLf'],
    // Names that an HTTP/2 front would have let through (Kettle, "HTTP/2: The Sequel is Always Worse", 2021)
    ['h2: a colon in a name', post(':authority: b.test'), 'EmptyFieldName'],
    ['h2: a pseudo header as a name', post(':path: /hidden'), 'EmptyFieldName'],
    ['h2: a request line in a name', post('GET /hidden HTTP/1.1', 'X: y'), 'SpaceBeforeColon'],
    ['h2: a CR in a name', post('X\rTransfer-Encoding: chunked'), 'BareCr'],
  ]; // prettier-ignore

  test.each(cases)('%s', (_what, bytes, code) => {
    const said = requestsIn(bytes);
    expect(verdict(said)).toBe(code);
    expect(heads(said)).toBeLessThanOrEqual(1);
    expect(JSON.stringify(said.filter((one) => one.kind === 'head'))).not.toContain('/hidden');
  });
});

describe('response smuggling and splitting', () => {
  const HIDDEN_RESPONSE = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden';
  const response = (...fields: string[]): string => ['HTTP/1.1 200 OK', ...fields, '', ''].join('\r\n');
  const cases: [what: string, bytes: string, code: string, method?: string][] = [
    ['CL.TE', `${response('Content-Length: 5', 'Transfer-Encoding: chunked')}0\r\n\r\n${HIDDEN_RESPONSE}`, 'LengthAndEncoding'],
    ['two lengths', `${response('Content-Length: 0', 'Content-Length: 55')}${HIDDEN_RESPONSE}`, 'DuplicateContentLength'],
    ['a reflected value with CR alone', response('Location: /\rContent-Length: 0'), 'BareCr'],
    ['a reflected value with LF alone', response('Location: /\nContent-Length: 0'), 'BareLf'],
    ['a second response behind HEAD', `${response('Content-Length: 55')}${HIDDEN_RESPONSE}`, 'UnaskedResponse', 'HEAD'],
    ['a second response behind 204', `${response('Content-Length: 0').replace('200', '204')}${HIDDEN_RESPONSE}`, 'UnaskedResponse'],
    ['a second response behind 304', `${response('Content-Length: 55').replace('200', '304')}${HIDDEN_RESPONSE}`, 'UnaskedResponse'],
    ['a response behind a 100 with a body', `${response('Content-Length: 55').replace('200', '100')}${HIDDEN_RESPONSE}`, 'BodyNotAllowed'],
    ['a switch that nobody asked for', 'HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n', 'UnaskedSwitch'],
    ['LF alone ends a size line', `${response('Transfer-Encoding: chunked')}2;\nxx\r\n0\r\n\r\n`, 'BareLf'],
  ]; // prettier-ignore

  test.each(cases)('%s', (_what, bytes, code, method = 'GET') => {
    const said = responsesIn(bytes, [{method}]);
    expect(verdict(said)).toBe(code);
    expect(JSON.stringify(said)).not.toContain('"text":"hidden"');
  });

  test('a response that waits for the next request is not its answer', () => {
    const said = responsesIn([`${response('Content-Length: 0')}${HIDDEN_RESPONSE}`], [{}, {}]);
    expect(verdict(said)).toBe('UnaskedResponse');
    expect(heads(said)).toBe(1);
  });
});
