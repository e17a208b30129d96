import {describe, expect, test} from '@jest/globals';
import {createRequestParser} from './request.ts';
import {latin1, requestsIn, verdict} from './test-support.ts';

/** A request with this request line and these further lines. */
const get = (line: string, ...fields: string[]): string => [line, ...fields, '', ''].join('\r\n');
const withLines = (...fields: string[]): string => get('GET / HTTP/1.1', 'Host: a.test', ...fields);

describe('a request that is refused, with the rule that it breaks', () => {
  const refused: [what: string, bytes: string, code: string][] = [
    // Lines (RFC 9112 §2.2)
    ['a request line that ends with LF alone', 'GET / HTTP/1.1\nHost: a.test\r\n\r\n', 'BareLf'],
    ['a field line that ends with LF alone', 'GET / HTTP/1.1\r\nHost: a.test\n\r\n', 'BareLf'],
    ['a head that ends with LF alone', 'GET / HTTP/1.1\r\nHost: a.test\r\n\n', 'BareLf'],
    ['a CR in the method', 'G\rET / HTTP/1.1\r\nHost: a.test\r\n\r\n', 'BareCr'],
    ['a CR in the target', 'GET /\ra HTTP/1.1\r\nHost: a.test\r\n\r\n', 'BareCr'],
    ['a CR before CRLF of the request line', 'GET / HTTP/1.1\r\r\nHost: a.test\r\n\r\n', 'BadVersion'],
    ['a CR in a field name', withLines('X\rY: 1'), 'BareCr'],
    ['a CR in a field value', withLines('X: 1\rY: 2'), 'BareCr'],
    ['a CR before the CRLF of a field line', withLines('X: 1\r'), 'BareCr'],
    ['a line of one CR instead of the empty line', 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\r\n', 'BareCr'],
    ['an LF alone before the request line', '\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n', 'BareLf'],
    ['a CR alone before the request line', '\rGET / HTTP/1.1\r\nHost: a.test\r\n\r\n', 'BareCr'],
    ['two empty lines before the request line', `\r\n\r\n${withLines()}`, 'BadRequestLine'],

    // Request line (RFC 9112 §3)
    ['an HTTP/0.9 request', 'GET /\r\n', 'BadVersion'],
    ['a method alone', 'GET\r\n\r\n', 'BadRequestLine'],
    ['a method and a space', get('GET ', 'Host: a.test'), 'BadRequestLine'],
    ['white space before the method', get(' GET / HTTP/1.1', 'Host: a.test'), 'BadRequestLine'],
    ['two spaces after the method', get('GET  / HTTP/1.1', 'Host: a.test'), 'BadRequestLine'],
    ['a tab after the method', get('GET\t/ HTTP/1.1', 'Host: a.test'), 'BadMethod'],
    ['two spaces before the version', get('GET /  HTTP/1.1', 'Host: a.test'), 'BadVersion'],
    ['a tab before the version', get('GET /\tHTTP/1.1', 'Host: a.test'), 'BadTarget'],
    ['a space after the version', get('GET / HTTP/1.1 ', 'Host: a.test'), 'BadVersion'],
    ['a space in the target', get('GET /a b HTTP/1.1', 'Host: a.test'), 'BadVersion'],
    ['a method that is no token', get('GE(T / HTTP/1.1', 'Host: a.test'), 'BadMethod'],
    ['a method with a NUL', get('GE\0T / HTTP/1.1', 'Host: a.test'), 'BadMethod'],
    ['a method of 33 letters', get(`${'M'.repeat(33)} / HTTP/1.1`, 'Host: a.test'), 'BadMethod'],
    ['version 0.9', get('GET / HTTP/0.9', 'Host: a.test'), 'BadVersion'],
    ['version 1.2', get('GET / HTTP/1.2', 'Host: a.test'), 'BadVersion'],
    ['version 2.0', get('GET / HTTP/2.0', 'Host: a.test'), 'BadVersion'],
    ['version 1.10', get('GET / HTTP/1.10', 'Host: a.test'), 'BadVersion'],
    ['version 01.1', get('GET / HTTP/01.1', 'Host: a.test'), 'BadVersion'],
    ['a version in small letters', get('GET / http/1.1', 'Host: a.test'), 'BadVersion'],
    ['another protocol', get('GET / ICAP/1.0', 'Host: a.test'), 'BadVersion'],
    ['the HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'BadVersion'],
    ['a control character in the target', get('GET /a\x01b HTTP/1.1', 'Host: a.test'), 'BadTarget'],
    ['a NUL in the target', get('GET /a\0b HTTP/1.1', 'Host: a.test'), 'BadTarget'],
    ['a DEL in the target', get('GET /a\x7fb HTTP/1.1', 'Host: a.test'), 'BadTarget'],
    ['bytes above ASCII in the target', get('GET /\xc3\xa9 HTTP/1.1', 'Host: a.test'), 'BadTarget'],
    ['a fragment', get('GET /a#b HTTP/1.1', 'Host: a.test'), 'FragmentInTarget'],
    ['a target beyond the limit', get(`GET /${'a'.repeat(16_384)} HTTP/1.1`, 'Host: a.test'), 'TargetTooLong'],

    // Forms of the target (RFC 9112 §3.2)
    ['a target that begins with no slash', get('GET a HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['a host without a scheme', get('GET a.test/b HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['another scheme', get('GET ftp://a.test/ HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['a scheme with one slash', get('GET http:/a.test/ HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['absolute-form with userinfo', get('GET http://u@a.test/ HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['absolute-form without a host', get('GET http:///a HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['absolute-form with a backslash in the host', get('GET http://a.test\\b/ HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['absolute-form with an escape in the host', get('GET http://a%2etest/ HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['absolute-form with a port above 65535', get('GET http://a.test:65536/ HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['authority-form for GET', get('GET a.test:443 HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['asterisk-form for GET', get('GET * HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['asterisk-form with more', get('OPTIONS *a HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['CONNECT in origin-form', get('CONNECT / HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['CONNECT in absolute-form', get('CONNECT https://a.test:443 HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['CONNECT without a port', get('CONNECT a.test HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['CONNECT with an empty port', get('CONNECT a.test: HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['CONNECT with port 0', get('CONNECT a.test:0 HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['CONNECT with a leading zero', get('CONNECT a.test:0443 HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['CONNECT with userinfo', get('CONNECT u:p@a.test:443 HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['CONNECT with a path', get('CONNECT a.test:443/ HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['CONNECT to an address with a zone', get('CONNECT [fe80::1%eth0]:443 HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],
    ['CONNECT to brackets that do not close', get('CONNECT [::1:443 HTTP/1.1', 'Host: a.test'), 'BadTargetForm'],

    // Field lines (RFC 9112 §5)
    ['white space before the first field line', 'GET / HTTP/1.1\r\n Host: a.test\r\n\r\n', 'ObsFold'],
    ['a continued line', withLines('X: 1', ' 2'), 'ObsFold'],
    ['a line continued with a tab', withLines('X: 1', '\t2'), 'ObsFold'],
    ['a line of a space', withLines(' '), 'ObsFold'],
    ['white space before the colon', withLines('X : 1'), 'SpaceBeforeColon'],
    ['a tab before the colon', withLines('X\t: 1'), 'SpaceBeforeColon'],
    ['white space in a field name', withLines('X Y: 1'), 'SpaceBeforeColon'],
    ['a line without a colon', withLines('X'), 'MissingColon'],
    ['an empty field name', withLines(': 1'), 'EmptyFieldName'],
    ['a field name that is no token', withLines('X(Y): 1'), 'BadFieldName'],
    ['a field name above ASCII', withLines('X\xe9: 1'), 'BadFieldName'],
    ['a NUL in a field name', withLines('X\0: 1'), 'BadFieldName'],
    ['a NUL in a field value', withLines('X: a\0b'), 'BadFieldValue'],
    ['a control character in a field value', withLines('X: a\x0bb'), 'BadFieldValue'],
    ['a control character at the end of a field value', withLines('X: a\x0c'), 'BadFieldValue'],
    ['a DEL in a field value', withLines('X: \x7f'), 'BadFieldValue'],
    ['more fields than the limit', withLines(...Array.from({length: 200}, (_, i) => `X-${i}: 1`)), 'TooManyHeaders'],
    ['a head beyond the limit', withLines(`X: ${'a'.repeat(65_536)}`), 'HeadTooLarge'],
    ['a head beyond the limit that does not end', `GET / HTTP/1.1\r\nX: ${'a'.repeat(65_536)}`, 'HeadTooLarge'],

    // Host (RFC 9112 §3.2, RFC 9110 §7.2)
    ['no Host', get('GET / HTTP/1.1'), 'MissingHost'],
    ['no Host, in absolute-form', get('GET http://a.test/ HTTP/1.1'), 'MissingHost'],
    ['two Hosts', withLines('Host: b.test'), 'DuplicateHost'],
    ['two Hosts that agree', withLines('hOST: a.test'), 'DuplicateHost'],
    ['two Hosts in HTTP/1.0', get('GET / HTTP/1.0', 'Host: a.test', 'Host: a.test'), 'DuplicateHost'],
    ['an empty Host', get('GET / HTTP/1.1', 'Host:'), 'BadHost'],
    ['two hosts in one line', get('GET / HTTP/1.1', 'Host: a.test, b.test'), 'BadHost'],
    ['two hosts without a space', get('GET / HTTP/1.1', 'Host: a.test,b.test'), 'BadHost'],
    ['a Host with userinfo', get('GET / HTTP/1.1', 'Host: u@a.test'), 'BadHost'],
    ['a Host with a path', get('GET / HTTP/1.1', 'Host: a.test/b'), 'BadHost'],
    ['a Host with a query', get('GET / HTTP/1.1', 'Host: a.test?b'), 'BadHost'],
    ['a Host with a scheme', get('GET / HTTP/1.1', 'Host: http://a.test'), 'BadHost'],
    ['a Host with a space', get('GET / HTTP/1.1', 'Host: a.test b.test'), 'BadHost'],
    ['a Host with an escape', get('GET / HTTP/1.1', 'Host: a%2etest'), 'BadHost'],
    ['a Host above ASCII', get('GET / HTTP/1.1', 'Host: \xe4.test'), 'BadHost'],
    ['a Host with an empty port', get('GET / HTTP/1.1', 'Host: a.test:'), 'BadHost'],
    ['a Host with a port that is no number', get('GET / HTTP/1.1', 'Host: a.test:80a'), 'BadHost'],
    ['a Host with two ports', get('GET / HTTP/1.1', 'Host: a.test:80:81'), 'BadHost'],
    ['a Host that is an IPv6 address without brackets', get('GET / HTTP/1.1', 'Host: ::1'), 'BadHost'],
    ['a Host with empty brackets', get('GET / HTTP/1.1', 'Host: []'), 'BadHost'],
    ['a Host longer than any name', get('GET / HTTP/1.1', `Host: ${'a'.repeat(263)}`), 'BadHost'],

    // Framing (RFC 9112 §6)
    ['Content-Length and Transfer-Encoding', withLines('Content-Length: 5', 'Transfer-Encoding: chunked'), 'LengthAndEncoding'],
    ['Transfer-Encoding and Content-Length', withLines('Transfer-Encoding: chunked', 'Content-Length: 5'), 'LengthAndEncoding'],
    ['an unknown Transfer-Encoding and Content-Length', withLines('Transfer-Encoding: x', 'Content-Length: 5'), 'LengthAndEncoding'],
    ['two Content-Lengths that differ', withLines('Content-Length: 5', 'Content-Length: 6'), 'DuplicateContentLength'],
    ['two Content-Lengths that agree', withLines('Content-Length: 5', 'content-length: 5'), 'DuplicateContentLength'],
    ['a Content-Length list that agrees', withLines('Content-Length: 5, 5'), 'DuplicateContentLength'],
    ['a Content-Length list that differs', withLines('Content-Length: 5,6'), 'DuplicateContentLength'],
    ['an empty Content-Length', withLines('Content-Length:'), 'BadContentLength'],
    ['a signed Content-Length', withLines('Content-Length: +5'), 'BadContentLength'],
    ['a negative Content-Length', withLines('Content-Length: -5'), 'BadContentLength'],
    ['a hexadecimal Content-Length', withLines('Content-Length: 0x5'), 'BadContentLength'],
    ['a Content-Length with a fraction', withLines('Content-Length: 5.0'), 'BadContentLength'],
    ['a Content-Length with an underscore', withLines('Content-Length: 1_0'), 'BadContentLength'],
    ['a Content-Length with a space', withLines('Content-Length: 1 0'), 'BadContentLength'],
    ['a Content-Length of digits that are not ASCII', withLines('Content-Length: \xb2'), 'BadContentLength'],
    ['a huge Content-Length', withLines('Content-Length: 18446744073709551621'), 'BadContentLength'],
    ['two Transfer-Encodings', withLines('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'), 'DuplicateTransferEncoding'],
    ['a coding before chunked', withLines('Transfer-Encoding: gzip, chunked'), 'UnsupportedCoding'],
    ['a coding after chunked', withLines('Transfer-Encoding: chunked, identity'), 'UnsupportedCoding'],
    ['chunked twice', withLines('Transfer-Encoding: chunked, chunked'), 'UnsupportedCoding'],
    ['identity', withLines('Transfer-Encoding: identity'), 'UnsupportedCoding'],
    ['an empty Transfer-Encoding', withLines('Transfer-Encoding:'), 'UnsupportedCoding'],
    ['chunked with an empty member', withLines('Transfer-Encoding: ,chunked'), 'UnsupportedCoding'],
    ['chunked with a parameter', withLines('Transfer-Encoding: chunked;q=1'), 'UnsupportedCoding'],
    ['chunked in quotes', withLines('Transfer-Encoding: "chunked"'), 'UnsupportedCoding'],
    ['chunkedx', withLines('Transfer-Encoding: chunkedx'), 'UnsupportedCoding'],
    ['Transfer-Encoding in HTTP/1.0', get('POST / HTTP/1.0', 'Transfer-Encoding: chunked'), 'EncodingInHttp10'],
    ['POST without a length in HTTP/1.0', get('POST / HTTP/1.0', 'Host: a.test'), 'LengthRequired'],
    ['PUT without a length in HTTP/1.0', get('PUT / HTTP/1.0'), 'LengthRequired'],
    ['CONNECT with a body', get('CONNECT a.test:443 HTTP/1.1', 'Host: a.test:443', 'Content-Length: 5'), 'ConnectWithBody'],
    ['CONNECT with chunks', get('CONNECT a.test:443 HTTP/1.1', 'Host: a.test:443', 'Transfer-Encoding: chunked'), 'ConnectWithBody'],

    // Connection (RFC 9110 §7.6.1) and Upgrade (§7.8)
    ['a Connection that is no list of tokens', withLines('Connection: keep-alive; timeout=5'), 'BadConnection'],
    ['a Connection that names Host', withLines('Connection: close, Host'), 'ConnectionNamesEndToEnd'],
    ['a Connection that names Content-Length', withLines('Connection: content-length'), 'ConnectionNamesEndToEnd'],
    ['a Connection that names Transfer-Encoding', withLines('Connection: keep-alive', 'Connection: Transfer-Encoding'), 'ConnectionNamesEndToEnd'],
    ['an upgrade with a body', withLines('Connection: upgrade', 'Upgrade: websocket', 'Content-Length: 5'), 'UpgradeWithBody'],
    ['an upgrade with chunks', withLines('Connection: upgrade', 'Upgrade: h2c', 'Transfer-Encoding: chunked'), 'UpgradeWithBody'],
    ['an upgrade to nothing', withLines('Connection: upgrade', 'Upgrade: ,'), 'BadUpgrade'],
    ['an upgrade to what is no protocol name', withLines('Connection: upgrade', 'Upgrade: a b'), 'BadUpgrade'],
  ]; // prettier-ignore

  test.each(refused)('%s', (_what, bytes, code) => {
    expect(verdict(requestsIn(bytes))).toBe(code);
  });

  test('nothing of a refused request is said but the refusal, and it is said for ever', () => {
    const parser = createRequestParser();
    parser.feed(latin1(withLines('X : 1')));
    const refusal = parser.next();
    expect(refusal).toMatchObject({
      kind: 'bad',
      code: 'SpaceBeforeColon',
      at: 'GET / HTTP/1.1\r\nHost: a.test\r\nX'.length,
    });
    parser.feed(latin1(withLines()));
    expect(parser.next()).toBe(refusal);
    expect(parser.atBoundary()).toBe(false);
    expect(parser.rest()).toHaveLength(0);
  });

  test('the offset counts from the beginning of the connection', () => {
    const first = withLines();
    expect(requestsIn([first, 'GET / HT', 'TP/1.1\r\nBad\x01: 1\r\n']).at(-1)).toEqual({
      kind: 'bad',
      code: 'BadFieldName',
      at: first.length + 'GET / HTTP/1.1\r\nBad'.length,
    });
  });
});
