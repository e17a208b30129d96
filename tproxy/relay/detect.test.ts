import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {detect, Detector} from './detect.ts';
import type {Detection} from './detect.ts';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

/** `kind`, `kind of` or `kind of code`. */
function said(detection: Detection): string {
  switch (detection.kind) {
    case 'more':
      return `more ${detection.of}`;
    case 'bad':
      return `bad ${detection.of} ${detection.code}`;
    default:
      return detection.kind;
  }
}

/** A TLS 1.2 ClientHello with a server name, in one record. */
function clientHello(sni: string): Buffer {
  const name = latin1(sni);
  const u16 = (n: number): Buffer => Buffer.from([n >> 8, n & 255]);
  const extension = Buffer.concat([
    u16(0), u16(name.length + 5), u16(name.length + 3), Buffer.from([0]), u16(name.length), name,
  ]); // prettier-ignore
  const body = Buffer.concat([
    Buffer.from([3, 3]), Buffer.alloc(32, 7), Buffer.from([0]), u16(2), u16(0xc02f), Buffer.from([1, 0]),
    u16(extension.length), extension,
  ]); // prettier-ignore
  const message = Buffer.concat([Buffer.from([1, 0]), u16(body.length), body]);
  return Buffer.concat([Buffer.from([0x16, 3, 1]), u16(message.length), message]);
}

describe('what the first bytes are', () => {
  const cases: [what: string, bytes: string, is: string][] = [
    ['nothing was read', '', 'more nothing'],
    ['a request', 'GET / HTTP/1.1\r\n', 'http1'],
    ['a known method and its space are enough', 'POST ', 'http1'],
    ['CONNECT to the explicit port', 'CONNECT a.test:443 HTTP/1.1\r\n', 'http1'],
    ['a known method whose line is malformed is HTTP, for the codec to refuse', 'GET no target\r\n', 'http1'],
    ['a part of a method waits', 'GE', 'more http1'],
    ['a method without its space waits', 'GET', 'more http1'],
    ['a letter that may begin a method waits', 'x', 'more http1'],
    ['a method and a tab', 'GET\t/ HTTP/1.1\r\n', 'bad http1 BadRequestLine'],
    ['a method and the end of the line', 'GET\r\n', 'bad http1 BadRequestLine'],
    ['an unknown method, a target and a version', 'FOO / HTTP/1.1\r\n', 'http1'],
    ['an unknown method in small letters', 'get /a HTTP/1.1\r\n', 'http1'],
    ['an unknown method in absolute-form', 'FOO HTTP://a.test/ HTTP/1.1\r\n', 'http1'],
    ['an unknown method with a version that nobody has', 'FOO / HTTP/9.9\r\n', 'http1'],
    ['an unknown method with a tab before the version', 'FOO /\tHTTP/1.1\r\n', 'http1'],
    ['an unknown method waits for the end of its line', 'FOO /a HTTP/1.', 'more http1'],
    ['an unknown method with a part of a scheme waits', 'FOO ht', 'more http1'],
    ['a token, a path and no version', 'LIST /pub\r\n', 'opaque'],
    ['one empty line before a request', '\r\nGET / HTTP/1.1\r\n', 'http1'],
    ['one empty line', '\r\n', 'more http1'],
    ['a CR', '\r', 'more http1'],
    ['two empty lines', '\r\n\r\n', 'opaque'],
    ['a CR and something else', '\rG', 'opaque'],
    ['a lone LF', '\n', 'opaque'],
    ['a method of more letters than any', `${'A'.repeat(33)} / HTTP/1.1\r\n`, 'opaque'],
    ['a request line that does not end', `FOO /${'a'.repeat(17_000)}`, 'bad http1 RequestLineTooLong'],
    ['SSH', 'SSH-2.0-OpenSSH_9.6\r\n', 'opaque'],
    ['SMTP', 'EHLO mail.test\r\n', 'opaque'],
    ['IRC', 'NICK someone\r\n', 'opaque'],
    ['a Redis array', '*1\r\n$4\r\nPING\r\n', 'opaque'],
    ['AMQP', 'AMQP\0\0\x09\x01', 'opaque'],
    ['PostgreSQL', '\0\0\0\x08\x04\xd2\x16\x2f', 'opaque'],
    ['binary', '\x01\x02hello', 'opaque'],
    ['QUIT', 'QUIT\r\n', 'opaque'],
    ['the HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'h2-preface'],
    ['the HTTP/2 preface and a frame', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04', 'h2-preface'],
    ['a part of the HTTP/2 preface waits', 'PRI * HTTP/2.0\r\n\r\nSM\r\n', 'more http1'],
    ['the HTTP/2 preface, otherwise', 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n', 'bad http1 BadPreface'],
    ['a method PRI that is not the preface', 'PRI / HTTP/1.1\r\n', 'http1'],
    ['a PRI of version 1.1', 'PRI * HTTP/1.1\r\n', 'http1'],
    ['a TLS record type waits', '\x16', 'more tls'],
    ['a TLS record header waits', '\x16\x03\x01\x02\x00', 'more tls'],
    ['0x16 that is no TLS', '\x16\x07hello', 'opaque'],
    ['a TLS alert is no client hello', '\x15\x03\x01\x00\x02\x02\x28', 'opaque'],
    ['a handshake message that is no ClientHello', '\x16\x03\x01\x00\x04\x02\x00\x00\x00', 'bad tls NotClientHello'],
    ['an empty handshake record', '\x16\x03\x01\x00\x00', 'bad tls BadRecord'],
  ]; // prettier-ignore

  test.each(cases)('%s', (_what, bytes, is) => {
    expect(said(detect(latin1(bytes)))).toBe(is);
  });

  test('a ClientHello, with its name and its length without what follows', () => {
    const hello = clientHello('a.test');
    expect(detect(Buffer.concat([hello, latin1('x')]))).toMatchObject({
      kind: 'tls',
      length: hello.length,
      hello: {sni: 'a.test'},
    });
  });

  test('a ClientHello that is not whole waits at every byte', () => {
    const hello = clientHello('a.test');
    for (let size = 1; size < hello.length; size++) expect(said(detect(hello.subarray(0, size)))).toBe('more tls');
  });
});

describe('for all bytes', () => {
  const starts = fc.constantFrom(
    '',
    'GET / HTTP/1.1\r\n',
    'FOO /',
    'PRI * HTTP/2.0\r\n',
    '\r\n',
    '\x16\x03\x01',
    'EHLO ',
  );
  const anyBytes = fc
    .tuple(starts, fc.uint8Array({maxLength: 60}))
    .map(([start, rest]) => Buffer.concat([latin1(start), rest]));

  test('more bytes never change what was settled', () => {
    fc.assert(
      fc.property(anyBytes, fc.uint8Array({maxLength: 20}), (bytes, further) => {
        const first = detect(bytes);
        if (first.kind !== 'more') expect(said(detect(Buffer.concat([bytes, further])))).toBe(said(first));
      }),
      {numRuns: 2_000},
    );
  });

  test('only the empty beginning says that nothing was read', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        expect(said(detect(bytes)) === 'more nothing').toBe(bytes.length === 0);
      }),
    );
  });

  test('what any HTTP/1 server would take for a request is never opaque', () => {
    const method = fc.constantFrom('GET', 'POST', 'FOO', 'get', 'M-SEARCH', 'PRI');
    const target = fc.constantFrom('/', '/a?b', '*', 'http://a.test/', 'HTTPS://a.test');
    fc.assert(
      fc.property(method, target, fc.nat(40), (m, t, cut) => {
        const line = latin1(`${m} ${t} HTTP/1.1\r\n`);
        expect(detect(line.subarray(0, Math.max(1, cut))).kind).not.toBe('opaque');
        expect(detect(line).kind).toBe('http1');
      }),
    );
  });

  test('pieces are what the same bytes are in one', () => {
    const bytes = fc.oneof(anyBytes, fc.constantFrom(clientHello('a.test'), clientHello('b.test').subarray(0, 40)));
    fc.assert(
      fc.property(bytes, fc.array(fc.integer({min: 1, max: 30}), {minLength: 1}), (whole, sizes) => {
        const detector = new Detector();
        for (let at = 0, i = 0; at < whole.length; i++) {
          const to = Math.min(whole.length, at + sizes[i % sizes.length]!);
          const detection = detector.push(whole.subarray(at, to));
          expect(detection).toEqual(detect(whole.subarray(0, to)));
          if (detection.kind !== 'more') break;
          at = to;
        }
      }),
    );
  });
});
