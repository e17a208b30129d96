/**
 * Request smuggling: the outer request is allowed, what hides in it is not. All of it is sent to an allowed site in the
 * clear, as one client would; the control is the same bytes from a pod that nobody reads.
 * James Kettle's and others' names for the variants; RFC 9112 is what is broken.
 */
import type {Attempt} from '../attempt.ts';
import {SITES} from '../addresses.ts';
import {http, say, sayAfter} from '../wire.ts';

const GOOD = 'POST /public/a HTTP/1.1';
const HOST = 'Host: plain.test';
/** What is to be smuggled: a request that the rule does not hold. */
const hidden = (token: string): string => http(`GET /private/${token} HTTP/1.1`, HOST);

type Part = (token: string) => string;

const way = (id: string, title: string, ...parts: readonly Part[]): Attempt => ({
  id: `smuggling-${id}`,
  title,
  invariant: 5,
  attempt: async (by) => void (await say(by.connect(SITES.plain, 80), ...parts.map((part) => part(by.token)))),
  control: 'free',
});

/** The first part is allowed, and answered. */
const after = (id: string, title: string, ...parts: readonly Part[]): Attempt => ({
  ...way(id, title),
  attempt: async (by) => void (await sayAfter(by, by.connect(SITES.plain, 80), ...parts.map((part) => part(by.token)))),
});

/** Content-Length beside Transfer-Encoding: to a server that believes the chunks, the hidden request comes next. */
const clTe = (id: string, title: string, field: string): Attempt =>
  way(`te-${id}`, `CL.TE: ${title}`, (token) => {
    const body = `0\r\n\r\n${hidden(token)}`;
    return http(GOOD, HOST, `Content-Length: ${body.length}`, field) + body;
  });

/** The size line of a chunk, read in two ways; `hidden` is in what one of them calls data. */
const chunk = (id: string, title: string, lines: (token: string) => string): Attempt =>
  way(`chunk-${id}`, title, (token) => http(GOOD, HOST, 'Transfer-Encoding: chunked') + lines(token));

/** A head of one odd line, whose whole request is refused. */
const head = (id: string, title: string, ...lines: readonly string[]): Attempt =>
  way(`head-${id}`, title, (token) => http(`GET /public/${token} HTTP/1.1`, ...lines));

const length = (id: string, title: string, value: string): Attempt =>
  way(`cl-${id}`, title, (token) => http(GOOD, HOST, value) + hidden(token));

export const SMUGGLING: readonly Attempt[] = [
  clTe('plain', 'both framings', 'Transfer-Encoding: chunked'),
  way('te-cl', 'TE.CL: the length ends inside the first chunk', (token) => {
    const inner = hidden(token);
    return `${http(GOOD, HOST, 'Content-Length: 4', 'Transfer-Encoding: chunked')}${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`;
  }),
  clTe('x', 'an encoding that only looks like chunked', 'Transfer-Encoding: xchunked'),
  clTe('space', 'a space before the colon', 'Transfer-Encoding : chunked'),
  clTe('tab', 'a tab instead of the space', 'Transfer-Encoding:\tchunked'),
  clTe('vtab', 'a vertical tab before the value', 'Transfer-Encoding:\x0bchunked'),
  clTe('upper', 'the value in other letters', 'Transfer-Encoding: CHUNKED'),
  clTe('quoted', 'the value in quotes', 'Transfer-Encoding: "chunked"'),
  clTe('list', 'chunked before identity', 'Transfer-Encoding: chunked, identity'),
  clTe('twice', 'chunked twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'),
  clTe('cow', 'a second field with another value', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: cow'),
  clTe('fold', 'the value on a folded line', 'Transfer-Encoding:\r\n chunked'),
  clTe('fold-name', 'the field on a folded line', 'X: x\r\n Transfer-Encoding: chunked'),
  clTe('lf', 'the field behind a bare LF', 'X: x\nTransfer-Encoding: chunked'),
  clTe('cr', 'the field behind a bare CR', 'X: x\rTransfer-Encoding: chunked'),
  clTe('nul', 'a NUL in the value', 'Transfer-Encoding: chunked\0'),
  clTe('underscore', 'an underscore in the name', 'Transfer_Encoding: chunked'),
  clTe('prefix', 'a space before the name', ' Transfer-Encoding: chunked'),
  clTe('semicolon', 'a parameter', 'Transfer-Encoding: chunked;q=1'),
  clTe('gzip', 'an encoding that is not chunked last', 'Transfer-Encoding: chunked, gzip'),
  clTe('high', 'a byte that some servers take for a space', 'Transfer-Encoding:\xa0chunked'),
  way(
    'te-10',
    'chunked in HTTP/1.0, where it does not exist',
    (token) =>
      `${http('POST /public/a HTTP/1.0', HOST, 'Connection: keep-alive', 'Transfer-Encoding: chunked')}0\r\n\r\n${hidden(token)}`,
  ),
  way('cl-0', 'CL.0: a body that a server does not expect with GET', (token) => {
    const inner = hidden(token);
    return `${http('GET /public/a HTTP/1.1', HOST, 'Content-Length: 0', `Content-Length: ${inner.length}`)}${inner}`;
  }),
  way('0-cl', '0.CL: a length that one side does not see', (token) => {
    const inner = hidden(token);
    return `${http(GOOD, HOST, `Content-Length : ${inner.length}`)}${inner}`;
  }),
  way('0-cl-fold', '0.CL: a length on a folded line', (token) => {
    const inner = hidden(token);
    return `${http(GOOD, HOST, `Content-Length:\r\n ${inner.length}`)}${inner}`;
  }),
  length('twice', 'two lengths that differ', 'Content-Length: 0\r\nContent-Length: 5'),
  length('list', 'a list of lengths', 'Content-Length: 0, 5'),
  length('plus', 'a length with a plus', 'Content-Length: +0'),
  length('minus', 'a negative length', 'Content-Length: -1'),
  length('hex', 'a length in hexadecimal', 'Content-Length: 0x0'),
  length('octal', 'a length with an exponent', 'Content-Length: 0e1'),
  length('space', 'a length with a space in it', 'Content-Length: 0 0'),
  length('overflow', 'a length that wraps to nothing in 64 bits', 'Content-Length: 18446744073709551616'),
  length('empty', 'an empty length', 'Content-Length:'),
  length(
    'underscore',
    'a length in other letters beside the right one',
    'Content-Length: 0\r\nContent_Length: 5\r\nContent-Length : 5',
  ),
  chunk('lf', 'a size line that ends with LF alone', (token) => `2\nxx\r\n0\r\n\r\n${hidden(token)}`),
  chunk('term-ext', 'TERM.EXT: LF inside an extension ends the line for one side', (token) => {
    const inner = `xx\r\n0\r\n\r\n${hidden(token)}`;
    return `2;\n${inner}\r\n0\r\n\r\n`;
  }),
  chunk('ext-term', 'EXT.TERM: CR alone inside an extension', (token) => `2;a\rb\r\nxx\r\n0\r\n\r\n${hidden(token)}`),
  chunk(
    'term-spill',
    'TERM.SPILL: chunk data that ends with LF alone',
    (token) => `5\r\nAAAAA\n0\r\n\r\n${hidden(token)}`,
  ),
  chunk(
    'spill-term',
    'SPILL.TERM: two bytes that are no line end behind the data',
    (token) => `5\r\nAAAAAXX0\r\n\r\n${hidden(token)}`,
  ),
  chunk('one-two', 'a line end of one byte read as two', (token) => `2\r\r\nxx\r\n0\r\n\r\n${hidden(token)}`),
  chunk('overflow', 'a size that wraps to nothing in 64 bits', (token) => `10000000000000000\r\n${hidden(token)}`),
  chunk('minus', 'a negative size', (token) => `-1\r\n${hidden(token)}\r\n0\r\n\r\n`),
  chunk('prefix', 'a size with 0x', (token) => `0x2\r\nxx\r\n0\r\n\r\n${hidden(token)}`),
  chunk('space', 'a space in front of the size', (token) => ` 2\r\nxx\r\n0\r\n\r\n${hidden(token)}`),
  chunk('underscore', 'a size with an underscore', (token) => `0_2\r\nxx\r\n0\r\n\r\n${hidden(token)}`),
  chunk('empty', 'an empty size line', (token) => `\r\n${hidden(token)}`),
  chunk(
    'ext-quoted',
    'an extension whose quotes hide a line end',
    (token) => `2;a="\r\nxx\r\n0\r\n\r\n${hidden(token)}"`,
  ),
  chunk(
    'trailer-framing',
    'trailers that carry framing',
    (token) => `0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nX: ${token}\r\n\r\n`,
  ),
  chunk('trailer-host', 'trailers that carry another Host', (token) => `0\r\nHost: ${token}.evil.test\r\n\r\n`),
  chunk('trailer-lf', 'trailers that end with LF alone', (token) => `0\r\nA: b\n\n${hidden(token)}`),
  head('obs-fold', 'a folded header line', HOST, 'X: a', ' b'),
  head('nul', 'a NUL in a header', HOST, 'X: a\0b'),
  head('colon-space', 'a space before a header’s colon', HOST, 'X : a'),
  head('bare-cr', 'a bare CR in a header', HOST, 'X: a\rY: b'),
  head('bare-lf', 'a header line that ends with LF alone', `${HOST}\nX: a`),
  head('no-colon', 'a header line without a colon', HOST, 'X'),
  head('empty-name', 'a header without a name', HOST, ': a'),
  head('leading-space', 'a first header line that begins with a space', ` ${HOST}`, HOST),
  head('two-hosts', 'two Hosts', HOST, 'Host: evil.test'),
  head('same-hosts', 'the same Host twice', HOST, HOST),
  head('no-host', 'no Host', 'X: a'),
  head('host-list', 'a Host that lists two', 'Host: plain.test, evil.test'),
  head('host-userinfo', 'a Host with user information', 'Host: plain.test@evil.test'),
  head('host-slash', 'a Host with a path', 'Host: plain.test/evil'),
  head('host-port', 'a Host whose port is none', 'Host: plain.test:80evil'),
  way('head-version', 'a version that does not exist', (token) => http(`GET /public/${token} HTTP/1.2`, HOST)),
  way('head-version-2', 'HTTP/2.0 as a version in text', (token) => http(`GET /public/${token} HTTP/2.0`, HOST)),
  way('head-09', 'a request without a version (HTTP/0.9)', (token) => `GET /private/${token}\r\n\r\n`),
  way('head-spaces', 'a request target with a space', (token) =>
    http(`GET /public/a /private/${token} HTTP/1.1`, HOST),
  ),
  way('head-tab', 'a tab for a space in the request line', (token) => http(`GET\t/public/${token}\tHTTP/1.1`, HOST)),
  way('head-method', 'a method with odd letters', (token) => http(`GE\x7fT /public/${token} HTTP/1.1`, HOST)),
  way('head-fragment', 'a fragment in the target', (token) => http(`GET /public/a#/${token} HTTP/1.1`, HOST)),
  after(
    'pipelined',
    'a denied request behind an allowed one in one packet',
    (token) => http('GET /public/a HTTP/1.1', HOST) + hidden(token),
  ),
  way(
    'early-answer',
    'a denied request sent after the answer that came before the body',
    () => `${http(GOOD, HOST, 'Content-Length: 10')}12345`,
    hidden,
  ),
  way(
    'expect',
    'Expect: 100-continue with a body that is not waited for',
    () => http('POST /private/a HTTP/1.1', HOST, 'Content-Length: 4', 'Expect: 100-continue'),
    hidden,
  ),
  way(
    'expect-odd',
    'Expect in a form that some servers strip',
    (token) =>
      http(GOOD, HOST, `Content-Length: ${hidden(token).length}`, 'Expect: y 100-continue', 'Content-Length : 0') +
      hidden(token),
  ),
  after(
    'state-path',
    'connection state: an allowed request, then a denied path',
    () => http('GET /public/a HTTP/1.1', HOST),
    hidden,
  ),
  after(
    'state-host',
    'connection state: an allowed request, then another Host',
    () => http('GET /public/a HTTP/1.1', HOST),
    (token) => http(`GET /public/${token} HTTP/1.1`, 'Host: evil.test'),
  ),
  after(
    'state-absolute',
    'connection state: an allowed request, then an absolute target',
    () => http('GET /public/a HTTP/1.1', HOST),
    (token) => http(`GET http://evil.test/public/${token} HTTP/1.1`, HOST),
  ),
  way('connection-host', 'Host named in Connection, to be taken away', (token) =>
    http(`GET /private/${token} HTTP/1.1`, HOST, 'Connection: Host, close'),
  ),
  after(
    'close-then',
    'a denied request behind one that closes',
    (token) => http('GET /public/a HTTP/1.1', HOST, 'Connection: close') + hidden(token),
  ),
];
