/**
 * Bytes that readers of HTTP/1 are known to cut in different ways (request smuggling), each with what we say to them. Every
 * one carries another request in its body or behind it, so that a reader that cuts elsewhere reads another number of them.
 */
export interface Variant {
  readonly name: string;
  readonly bytes: Buffer;
  /** Our code, or `taken`. */
  readonly ours: string;
}

const NEXT = 'GET /next HTTP/1.1\r\nHost: b.test\r\n\r\n';
/** A chunked body of nothing, and behind it what a reader by length takes for its rest. */
const EMPTY_THEN_NEXT = `0\r\n\r\n${NEXT}`;
const HELLO_CHUNKED = '5\r\nhello\r\n0\r\n\r\n';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const post = (lines: string, body: string, version = '1.1'): Buffer =>
  bytes(`POST / HTTP/${version}\r\nHost: a.test\r\n${lines}\r\n\r\n${body}`);
/** Framed by these lines in one reading, and by nothing in another. */
const framedBy = (name: string, lines: string, ours: string, body = EMPTY_THEN_NEXT): Variant => ({
  name,
  bytes: post(lines, body),
  ours,
});
/** Beside a length that ends in the middle of the chunks, in case the coding is not seen. */
const coding = (name: string, line: string, ours: string): Variant => framedBy(name, `Content-Length: 5\r\n${line}`, ours, EMPTY_THEN_NEXT); // prettier-ignore
const alone = (name: string, line: string, ours: string): Variant => framedBy(name, line, ours);
const chunked = (name: string, body: string, ours: string): Variant => framedBy(name, 'Transfer-Encoding: chunked', ours, `${body}${NEXT}`); // prettier-ignore
const length = (name: string, line: string, ours: string): Variant => framedBy(name, line, ours, `hello${NEXT}`);
const raw = (name: string, text: string, ours: string): Variant => ({name, bytes: bytes(text), ours});

export const VARIANTS: readonly Variant[] = [
  // What all read the same: without these a test of the others would prove nothing.
  length('a length', 'Content-Length: 5', 'taken'),
  chunked('chunks', HELLO_CHUNKED, 'taken'),
  chunked('chunks with extensions and trailers', '5;a=b;c="d"\r\nhello\r\n0\r\nX: y\r\n\r\n', 'taken'),
  length('a length with white space around it', 'content-length:\t5 ', 'taken'),
  alone('the coding in other letters', 'TRANSFER-ENCODING:Chunked ', 'taken'),

  // Both fields, and one of them hidden from somebody.
  coding('a length, then the coding (CL.TE)', 'Transfer-Encoding: chunked', 'LengthAndEncoding'),
  framedBy('the coding, then a length (TE.CL)', 'Transfer-Encoding: chunked\r\nContent-Length: 5', 'LengthAndEncoding'),
  coding('a length beside identity', 'Transfer-Encoding: identity', 'LengthAndEncoding'),
  coding('a space before the colon', 'Transfer-Encoding : chunked', 'SpaceBeforeColon'),
  coding('a tab before the colon', 'Transfer-Encoding\t: chunked', 'SpaceBeforeColon'),
  coding('an underscore for the hyphen', 'Transfer_Encoding: chunked', 'FramingLookalike'),
  coding('a folded value', 'Transfer-Encoding:\r\n chunked', 'ObsFold'),
  coding('a field inside of a fold', 'X: y\r\n Transfer-Encoding: chunked', 'ObsFold'),
  coding('a lone LF before the field', 'X: y\nTransfer-Encoding: chunked', 'BareLf'),
  coding('a lone CR before the field', 'X: y\rTransfer-Encoding: chunked', 'BareCr'),
  coding('CR CR LF before the field', 'X: y\r\r\nTransfer-Encoding: chunked', 'BareCr'),
  coding('a NUL before the field', '\0Transfer-Encoding: chunked', 'BadFieldName'),
  coding('a NUL in the value', 'Transfer-Encoding: \0chunked', 'BadFieldValue'),
  coding('a NUL behind the value', 'Transfer-Encoding: chunked\0', 'BadFieldValue'),
  coding('a vertical tab before the value', 'Transfer-Encoding:\x0bchunked', 'BadFieldValue'),
  coding('a form feed behind the value', 'Transfer-Encoding: chunked\x0c', 'BadFieldValue'),
  coding('a no-break space before the value', 'Transfer-Encoding: \xa0chunked', 'LengthAndEncoding'),
  coding('a field without a colon', 'Transfer-Encoding\r\n', 'MissingColon'),
  coding('a field without a name', ': chunked', 'EmptyFieldName'),
  coding('letters of UTF-8 in the name', 'Transfer-\xc4\xb0ncoding: chunked', 'BadFieldName'),

  // The coding alone, spelled in ways.
  alone('another coding before it', 'Transfer-Encoding: gzip, chunked', 'UnsupportedCoding'),
  alone('another coding behind it', 'Transfer-Encoding: chunked, identity', 'UnsupportedCoding'),
  alone('the coding twice in a list', 'Transfer-Encoding: chunked, chunked', 'UnsupportedCoding'),
  alone('the coding in two fields', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', 'DuplicateTransferEncoding'), // prettier-ignore
  alone('the coding and another in two fields', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: x', 'DuplicateTransferEncoding'), // prettier-ignore
  alone('an empty member before it', 'Transfer-Encoding: ,chunked', 'UnsupportedCoding'),
  alone('an empty member behind it', 'Transfer-Encoding: chunked,', 'UnsupportedCoding'),
  alone('the coding in quotes', 'Transfer-Encoding: "chunked"', 'UnsupportedCoding'),
  alone('the coding with a parameter', 'Transfer-Encoding: chunked;q=1', 'UnsupportedCoding'),
  alone('a word that ends like it', 'Transfer-Encoding: xchunked', 'UnsupportedCoding'),
  alone('a word that begins like it', 'Transfer-Encoding: chunkedx', 'UnsupportedCoding'),
  alone('no coding', 'Transfer-Encoding:', 'UnsupportedCoding'),
  alone('identity', 'Transfer-Encoding: identity', 'UnsupportedCoding'),
  {name: 'the coding in HTTP/1.0', bytes: post('Connection: keep-alive\r\nTransfer-Encoding: chunked', EMPTY_THEN_NEXT, '1.0'), ours: 'EncodingInHttp10'}, // prettier-ignore

  // Lengths.
  length('the length twice', 'Content-Length: 5\r\nContent-Length: 5', 'DuplicateContentLength'),
  length('two lengths', 'Content-Length: 0\r\nContent-Length: 5', 'DuplicateContentLength'),
  length('the length twice in a list', 'Content-Length: 5, 5', 'DuplicateContentLength'),
  length('two lengths in a list', 'Content-Length: 0, 5', 'DuplicateContentLength'),
  length('a plus sign', 'Content-Length: +5', 'BadContentLength'),
  length('a minus sign', 'Content-Length: -5', 'BadContentLength'),
  length('a hexadecimal length', 'Content-Length: 0x5', 'BadContentLength'),
  length('zeros before it', 'Content-Length: 00000005', 'taken'),
  length('a decimal point', 'Content-Length: 5.0', 'BadContentLength'),
  length('an exponent', 'Content-Length: 5e0', 'BadContentLength'),
  length('a thousands separator', 'Content-Length: 0_5', 'BadContentLength'),
  length('a space within', 'Content-Length: 0 5', 'BadContentLength'),
  length('a length of nothing', 'Content-Length:', 'BadContentLength'),
  length('2^64 + 5', 'Content-Length: 18446744073709551621', 'BadContentLength'),
  length('2^32 + 5', 'Content-Length: 4294967301', 'taken'),
  length('a folded length', 'Content-Length:\r\n 5', 'ObsFold'),
  length('a space before its colon', 'Content-Length : 5', 'SpaceBeforeColon'),
  length('an underscore in the length’s name', 'Content_Length: 5', 'FramingLookalike'),
  length('a length that Connection takes away', 'Content-Length: 5\r\nConnection: content-length', 'ConnectionNamesEndToEnd'), // prettier-ignore
  {name: 'no length in HTTP/1.0', bytes: post('Connection: keep-alive', `hello${NEXT}`, '1.0'), ours: 'LengthRequired'},

  // Chunks.
  chunked('a size with 0x', `0x5\r\nhello\r\n0\r\n\r\n`, 'BadChunkSize'),
  chunked('a size with a plus sign', `+5\r\nhello\r\n0\r\n\r\n`, 'BadChunkSize'),
  chunked('a size with a minus sign', `-5\r\nhello\r\n0\r\n\r\n`, 'BadChunkSize'),
  chunked('a space before a size', ` 5\r\nhello\r\n0\r\n\r\n`, 'BadChunkSize'),
  chunked('a space behind a size', `5 \r\nhello\r\n0\r\n\r\n`, 'BadChunkSize'),
  chunked('zeros before a size', `00005\r\nhello\r\n0\r\n\r\n`, 'taken'),
  chunked('2^32 + 5 as a size', `100000005\r\nhello\r\n0\r\n\r\n`, 'ChunkSizeTooLong'),
  chunked('2^64 + 5 as a size', `10000000000000005\r\nhello\r\n0\r\n\r\n`, 'ChunkSizeTooLong'),
  chunked('no size', `\r\nhello\r\n0\r\n\r\n`, 'BadChunkSize'),
  chunked('a size with an underscore', `0_5\r\nhello\r\n0\r\n\r\n`, 'BadChunkSize'),
  chunked('a size that ends with LF', `5\nhello\r\n0\r\n\r\n`, 'BareLf'),
  chunked('a size that ends with CR', `5\rhello\r\n0\r\n\r\n`, 'BareCr'),
  chunked('an extension that ends with LF', `5;a\nhello\r\n0\r\n\r\n`, 'BareLf'),
  chunked('a CR in an extension', `5;a\rX\r\nhello\r\n0\r\n\r\n`, 'BareCr'),
  chunked('a line end in a quoted extension', `5;a="\r\n"\r\nhello\r\n0\r\n\r\n`, 'BadChunkExtension'),
  chunked('an LF in a quoted extension', `5;a="\nhello\r\n0\r\n\r\n`, 'BareLf'),
  chunked('an extension without a name', `5;\r\nhello\r\n0\r\n\r\n`, 'BadChunkExtension'),
  chunked('white space before an extension', `5 ;a=b\r\nhello\r\n0\r\n\r\n`, 'BadChunkSize'),
  chunked('data longer than its size', `5\r\nhelloXX\r\n0\r\n\r\n`, 'BadChunkEnd'),
  chunked('data that ends with LF', `5\r\nhello\n0\r\n\r\n`, 'BadChunkEnd'),
  chunked('data without an end', `5\r\nhello0\r\n\r\n`, 'BadChunkEnd'),
  chunked('a last chunk that ends with LF', `5\r\nhello\r\n0\n\r\n`, 'BareLf'),
  chunked('trailers that end with LF', `5\r\nhello\r\n0\r\n\n`, 'BareLf'),
  chunked('a last chunk with no line end behind it', `5\r\nhello\r\n0\r\n`, 'SpaceBeforeColon'),
  chunked('a length in the trailers', `5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n`, 'ForbiddenTrailer'),
  chunked('the coding in the trailers', `5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n`, 'ForbiddenTrailer'),
  chunked('Host in the trailers', `5\r\nhello\r\n0\r\nHost: b.test\r\n\r\n`, 'ForbiddenTrailer'),
  chunked('a folded trailer', `5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n`, 'ObsFold'),

  // Lines.
  raw('lines that end with LF', `POST / HTTP/1.1\nHost: a.test\nContent-Length: 5\n\nhello${NEXT}`, 'BareLf'),
  raw('lines that end with CR', `POST / HTTP/1.1\rHost: a.test\rContent-Length: 5\r\rhello${NEXT}`, 'BadVersion'),
  raw('a head that ends with LF', `POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\nhello${NEXT}`, 'BareLf'),
  raw('a head that ends with CR', `POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\rhello${NEXT}`, 'BareCr'),
  raw('a fold below the request line', `POST / HTTP/1.1\r\n Content-Length: 5\r\nHost: a.test\r\n\r\nhello${NEXT}`, 'ObsFold'), // prettier-ignore
  raw('one empty line before it', `\r\n${NEXT}`, 'taken'),
  raw('two empty lines before it', `\r\n\r\n${NEXT}`, 'BadRequestLine'),
  raw('an LF before it', `\n${NEXT}`, 'BareLf'),
  raw('a space before it', ` ${NEXT}`, 'BadRequestLine'),
  raw('two spaces in the request line', `GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n${NEXT}`, 'BadRequestLine'),
  raw('tabs in the request line', `GET\t/\tHTTP/1.1\r\nHost: a.test\r\n\r\n${NEXT}`, 'BadMethod'),
  raw('a space in the target', `GET /a b HTTP/1.1\r\nHost: a.test\r\n\r\n${NEXT}`, 'BadVersion'),
  raw('a space behind the version', `GET / HTTP/1.1 \r\nHost: a.test\r\n\r\n${NEXT}`, 'BadVersion'),
  raw('a version in small letters', `GET / http/1.1\r\nHost: a.test\r\n\r\n${NEXT}`, 'BadVersion'),
  raw('a version of 1.10', `GET / HTTP/1.10\r\nHost: a.test\r\n\r\n${NEXT}`, 'BadVersion'),
  raw('a version of 1.2', `GET / HTTP/1.2\r\nHost: a.test\r\n\r\n${NEXT}`, 'BadVersion'),
  raw('no version (HTTP/0.9)', `GET /\r\n${NEXT}`, 'BadVersion'),
  raw('HTTP/2 in text', `GET / HTTP/2.0\r\nHost: a.test\r\n\r\n${NEXT}`, 'BadVersion'),
  raw('a method in brackets', `G(T / HTTP/1.1\r\nHost: a.test\r\n\r\n${NEXT}`, 'BadMethod'),
  raw('a NUL in the target', `GET /\0 HTTP/1.1\r\nHost: a.test\r\n\r\n${NEXT}`, 'BadTarget'),
  raw('bytes above ASCII in the target', `GET /\xe9 HTTP/1.1\r\nHost: a.test\r\n\r\n${NEXT}`, 'BadTarget'),
  raw('a fragment', `GET /#a HTTP/1.1\r\nHost: a.test\r\n\r\n${NEXT}`, 'FragmentInTarget'),

  // Whom it is for.
  raw('two Hosts', `GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n${NEXT}`, 'DuplicateHost'),
  raw('a list of Hosts', `GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n${NEXT}`, 'BadHost'),
  raw('no Host', `GET / HTTP/1.1\r\n\r\n${NEXT}`, 'MissingHost'),
  raw('an empty Host', `GET / HTTP/1.1\r\nHost:\r\n\r\n${NEXT}`, 'BadHost'),
  raw('a user in Host', `GET / HTTP/1.1\r\nHost: b.test@a.test\r\n\r\n${NEXT}`, 'BadHost'),

  // Bodies where some expect none.
  raw('a GET with a body', `GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello${NEXT}`, 'taken'),
  raw('a HEAD with chunks', `HEAD / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n${HELLO_CHUNKED}${NEXT}`, 'taken'), // prettier-ignore
  raw('an unknown method with a body', `FOO / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello${NEXT}`, 'taken'), // prettier-ignore
  raw('CONNECT with a body', `CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nContent-Length: 5\r\n\r\nhello${NEXT}`, 'ConnectWithBody'), // prettier-ignore
  raw('an upgrade with a body', `POST / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello${NEXT}`, 'UpgradeWithBody'), // prettier-ignore
  length('an expectation and a body at once', 'Expect: 100-continue\r\nContent-Length: 5', 'taken'),
];
