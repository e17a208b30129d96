import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {MAX_CLIENT_HELLO_BYTES, createClientHelloReader, parseClientHello} from './client-hello.ts';
import type {ClientHelloResult} from './client-hello.ts';
import {alpn, hello, helloMessage, record, records, serverName, vector16, versions} from './testing/hello.ts';
import type {Extension, HelloParts} from './testing/hello.ts';

const ext = (...extensions: Extension[]): Buffer => hello({extensions});
const says = (result: ClientHelloResult) => {
  if (result.kind !== 'done') throw new Error(JSON.stringify(result));
  return result.hello;
};

describe('a ClientHello is read', () => {
  const cases: [string, Buffer, object][] = [
    ['with its server name as written', ext(serverName('WWW.Example.test')), {sni: 'WWW.Example.test'}],
    ['with a trailing dot as written', ext(serverName('a.test.')), {sni: 'a.test.'}],
    ['with an IP literal as written', ext(serverName('192.0.2.1')), {sni: '192.0.2.1'}],
    ['without server name', ext(alpn('h2')), {sni: null, alpn: ['h2']}],
    [
      'without any extension block (TLS 1.0)',
      hello({extensions: null, version: 0x0301}),
      {sni: null, legacyVersion: 0x0301, supportsTls13: false},
    ],
    ['with an empty extension block', ext(), {sni: null, versions: []}],
    ['with ALPN in order', ext(alpn('h2', 'http/1.1', 'acme-tls/1')), {alpn: ['h2', 'http/1.1', 'acme-tls/1']}],
    [
      'without GREASE in ALPN and versions',
      ext(alpn('\x0a\x0a', 'h2', '\xfa\xfa'), versions(0x1a1a, 0x0304, 0x0303)),
      {alpn: ['h2'], versions: [0x0304, 0x0303], supportsTls13: true},
    ],
    [
      'with GREASE extensions',
      ext([0x0a0a, Buffer.alloc(0)], serverName('a.test'), [0xdada, Buffer.alloc(1)]),
      {sni: 'a.test', ech: false},
    ],
    [
      'with ECH, or GREASE that looks the same',
      ext(serverName('public.test'), [0xfe0d, Buffer.alloc(40)]),
      {sni: 'public.test', ech: true},
    ],
    ['with an ECH draft', ext([0xfe0a, Buffer.alloc(4)]), {ech: true}],
    ['with ESNI', ext([0xffce, Buffer.alloc(4)]), {ech: true}],
    ['with early data', ext([42, Buffer.alloc(0)]), {earlyData: true}],
    ['with a ticket', ext([35, Buffer.alloc(9)]), {resumes: true}],
    ['with an empty ticket', ext([35, Buffer.alloc(0)]), {resumes: false}],
    ['with a pre-shared key at the end', ext(versions(0x0304), [41, Buffer.alloc(9)]), {resumes: true}],
    ['with a TLS 1.2 session id', hello({sessionId: Buffer.alloc(32, 1)}), {resumes: true}],
    [
      'with a TLS 1.3 compatibility session id',
      hello({sessionId: Buffer.alloc(32, 1), extensions: [versions(0x0304)]}),
      {resumes: false},
    ],
  ];
  test.each(cases)('%s', (_name, bytes, expected) => {
    expect(parseClientHello(bytes)).toMatchObject({kind: 'done', length: bytes.length});
    expect(says(parseClientHello(bytes))).toMatchObject(expected);
  });

  test('over records of one byte each', () => {
    const bytes = records(helloMessage(), 1);
    expect(parseClientHello(bytes)).toMatchObject({kind: 'done', length: bytes.length});
  });

  test('over a first record that ends inside the handshake header', () => {
    expect(says(parseClientHello(records(helloMessage(), 3, 20, 1000))).sni).toBe('a.test');
  });

  test('and what follows its records is not part of it', () => {
    const bytes = hello();
    // A compatibility change_cipher_spec (RFC 8446 appendix D.4) right behind it.
    const result = parseClientHello(Buffer.concat([bytes, record(Buffer.from([1]), 20)]));
    expect(result).toMatchObject({kind: 'done', length: bytes.length});
  });

  test('of nearly the largest size, and not beyond', () => {
    const padded = (bytes: number): Buffer =>
      records(helloMessage({extensions: [serverName('a.test'), [21, Buffer.alloc(bytes)]]}), 16384);
    expect(parseClientHello(padded(65000)).kind).toBe('done');
    expect(parseClientHello(padded(65500))).toMatchObject({kind: 'bad', code: 'TooLarge'});
  });

  test('without keeping or changing the bytes it was given', () => {
    const bytes = records(helloMessage(), 50);
    const before = Buffer.from(bytes);
    parseClientHello(bytes);
    expect(bytes.equals(before)).toBe(true);
  });
});

describe('bytes are refused', () => {
  const twoNames = vector16(Buffer.from('0000016100000162', 'hex'));
  const cases: [string, Buffer, string][] = [
    ['of plain HTTP', Buffer.from('GET / HTTP/1.1\r\n'), 'NotTls'],
    ['of an SSL 2.0 hello', Buffer.from('802e0100020015000000100100800200', 'hex'), 'Sslv2Hello'],
    ['with a high first byte that is no SSL 2.0', Buffer.from('80000000', 'hex'), 'NotTls'],
    ['of another content type', record(Buffer.alloc(2), 21), 'NotTls'],
    ['of a foreign major version', Buffer.from('1604', 'hex'), 'NotTls'],
    ['of another handshake message', record(Buffer.from('02000000', 'hex')), 'NotClientHello'],
    ['of a record without content', record(Buffer.alloc(0)), 'BadRecord'],
    [
      'of a record without content in the middle',
      Buffer.concat([record(helloMessage().subarray(0, 9)), record(Buffer.alloc(0))]),
      'BadRecord',
    ],
    ['of a record over 16 KB', Buffer.from('1603014001', 'hex'), 'BadRecord'],
    [
      'of another version in the second record',
      Buffer.concat([record(helloMessage().subarray(0, 9)), Buffer.from('1602', 'hex')]),
      'BadRecord',
    ],
    [
      'of an alert between its records',
      Buffer.concat([record(helloMessage().subarray(0, 9)), record(Buffer.alloc(2), 21)]),
      'InterleavedRecord',
    ],
    [
      'of application data between its records',
      Buffer.concat([record(helloMessage().subarray(0, 9)), record(Buffer.alloc(2), 23)]),
      'InterleavedRecord',
    ],
    ['that announce 16 MB', record(Buffer.from('01ffffff0303', 'hex')), 'TooLarge'],
    [
      'with a second message in its record',
      record(Buffer.concat([helloMessage(), helloMessage()])),
      'TrailingHandshake',
    ],
    [
      'with the beginning of a second message',
      record(Buffer.concat([helloMessage(), Buffer.from([1])])),
      'TrailingHandshake',
    ],
    ['after the extensions', hello({trailer: Buffer.from([0])}), 'BadClientHello'],
    ['with a legacy_version of SSL 2', hello({version: 0x0200}), 'BadVersions'],
    ['with a long session id', hello({sessionId: Buffer.alloc(33)}), 'BadClientHello'],
    ['without cipher suites', hello({ciphers: Buffer.alloc(0)}), 'BadClientHello'],
    ['with half a cipher suite', hello({ciphers: Buffer.alloc(3)}), 'BadClientHello'],
    ['without the null compression', hello({compression: Buffer.from([1])}), 'BadClientHello'],
    ['with two server_name extensions', ext(serverName('a.test'), serverName('b.test')), 'DuplicateExtension'],
    ['with any extension twice', ext([0x0a0a, Buffer.alloc(0)], [0x0a0a, Buffer.alloc(0)]), 'DuplicateExtension'],
    ['with two names in one server_name', ext([0, twoNames]), 'BadServerName'],
    ['with an unknown name type', ext([0, vector16(Buffer.from('01000161', 'hex'))]), 'BadServerName'],
    ['with an empty server_name list', ext([0, vector16(Buffer.alloc(0))]), 'BadServerName'],
    ['with an empty server_name', ext(serverName('')), 'BadServerName'],
    ['with bytes after the server_name list', ext([0, Buffer.from('00040000016100', 'hex')]), 'BadServerName'],
    ['with NUL in the name', ext(serverName('a.test\0.evil.test')), 'BadServerName'],
    ['with a space in the name', ext(serverName('a.test evil')), 'BadServerName'],
    ['with a newline in the name', ext(serverName('a.test\nx')), 'BadServerName'],
    ['with bytes over ASCII in the name', ext(serverName('caf\xe9.test')), 'BadServerName'],
    ['with a name over 254 bytes', ext(serverName('a'.repeat(255))), 'BadServerName'],
    ['with an empty ALPN list', ext(alpn()), 'BadAlpn'],
    ['with an empty ALPN name', ext(alpn('h2', '')), 'BadAlpn'],
    ['with 65 ALPN names', ext(alpn(...Array.from({length: 65}, (_, i) => `p${i}`))), 'BadAlpn'],
    ['with an empty version list', ext(versions()), 'BadVersions'],
    ['with half a version', ext([43, Buffer.from('03030403', 'hex')]), 'BadVersions'],
    ['with an extension behind pre_shared_key', ext([41, Buffer.alloc(2)], serverName('a.test')), 'BadPreSharedKey'],
    ['with ech_outer_extensions', ext([0xfd00, Buffer.alloc(2)]), 'BadClientHello'],
    [
      'with an extension longer than the block',
      hello({extensions: null, trailer: Buffer.from('000400000009', 'hex')}),
      'BadClientHello',
    ],
  ];
  test.each(cases)('%s', (_name, bytes, code) => {
    const result = parseClientHello(bytes);
    expect(result).toMatchObject({kind: 'bad', code});
  });

  test('where records of one byte would go on for ever', () => {
    const tiny = records(helloMessage({extensions: [[21, Buffer.alloc(20000)]]}), 1);
    expect(tiny.length).toBeGreaterThan(MAX_CLIENT_HELLO_BYTES);
    expect(parseClientHello(tiny)).toMatchObject({kind: 'bad', code: 'TooLarge'});
  });
});

describe('whatever the bytes', () => {
  const parts: fc.Arbitrary<HelloParts> = fc.record({
    sessionId: fc.uint8Array({maxLength: 32}).map((bytes) => Buffer.from(bytes)),
    extensions: fc.uniqueArray(
      fc.oneof(
        fc.domain().map(serverName),
        fc
          .array(fc.string({minLength: 1, maxLength: 9, unit: 'grapheme-ascii'}), {minLength: 1, maxLength: 4})
          .map((names) => alpn(...names)),
        fc.tuple(
          fc.integer({min: 60, max: 0xf000}),
          fc.uint8Array({maxLength: 40}).map((bytes) => Buffer.from(bytes)),
        ),
      ),
      {selector: ([type]) => type, maxLength: 6},
    ),
  });

  test('a hello reads the same in one piece, in many records, and byte by byte', () => {
    fc.assert(
      fc.property(
        parts,
        fc.array(fc.integer({min: 1, max: 90}), {minLength: 1, maxLength: 5}),
        fc.integer({min: 1, max: 40}),
        (p, sizes, chunk) => {
          const whole = says(parseClientHello(hello(p)));
          const cut = records(helloMessage(p), ...sizes);
          const reader = createClientHelloReader();
          let result: ClientHelloResult = {kind: 'more'};
          for (let at = 0; at < cut.length; at += chunk) {
            expect(result.kind).toBe('more');
            result = reader.push(cut.subarray(at, at + chunk));
          }
          expect(result).toEqual({kind: 'done', hello: whole, length: cut.length});
        },
      ),
    );
  });

  test('every prefix wants more, and says so before and not after', () => {
    const bytes = records(helloMessage({extensions: [serverName('a.test'), alpn('h2')]}), 40, 7);
    for (let end = 0; end < bytes.length; end++) expect(parseClientHello(bytes.subarray(0, end)).kind).toBe('more');
  });

  test('changed bytes end in an outcome that no cutting changes', () => {
    fc.assert(
      fc.property(
        parts,
        fc.array(fc.tuple(fc.nat(), fc.integer({min: 0, max: 255})), {minLength: 1, maxLength: 4}),
        fc.integer({min: 1, max: 30}),
        (p, changes, chunk) => {
          const bytes = records(helloMessage(p), 120);
          for (const [at, value] of changes) bytes[at % bytes.length] = value;
          const whole = parseClientHello(bytes);
          const reader = createClientHelloReader();
          let pieces: ClientHelloResult = {kind: 'more'};
          for (let at = 0; at < bytes.length; at += chunk) pieces = reader.push(bytes.subarray(at, at + chunk));
          expect(pieces).toEqual(whole);
          if (whole.kind === 'done' && whole.hello.sni !== null) expect(whole.hello.sni).toMatch(/^[!-~]+$/);
        },
      ),
      {numRuns: 500},
    );
  });

  test('a settled reader stays settled', () => {
    const reader = createClientHelloReader();
    const first = reader.push(Buffer.from('GET '));
    expect(reader.push(hello())).toBe(first);
    expect(first).toMatchObject({kind: 'bad', code: 'NotTls'});
  });

  test('byte by byte, the work does not grow with what came before: the message is copied at most about twice', () => {
    // Counted, not timed: bytes copied while a 60 KB hello arrives in chunks of one byte.
    const bytes = records(helloMessage({extensions: [[21, Buffer.alloc(60000)]]}), 16000);
    const reader = createClientHelloReader();
    const copy = Object.getOwnPropertyDescriptor(Buffer.prototype, 'copy')!;
    let copied = 0;
    Buffer.prototype.copy = function (this: Buffer, ...args: Parameters<Buffer['copy']>) {
      const n = (copy.value as Buffer['copy']).apply(this, args);
      copied += n;
      return n;
    };
    try {
      for (let at = 0; at < bytes.length; at++) reader.push(bytes.subarray(at, at + 1));
    } finally {
      Object.defineProperty(Buffer.prototype, 'copy', copy);
    }
    expect(reader.push(Buffer.alloc(0)).kind).toBe('done');
    expect(copied).toBeLessThan(bytes.length * 4);
  });
});
