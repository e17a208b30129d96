import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {host as referenceHost, authority as referenceAuthority} from '../../test/reference/texts.ts';
import {isBelow, isUnder, normalizeHost, parseAuthority, parseHostPattern} from './hosts.ts';

describe('normalizeHost', () => {
  test.each([
    ['lower-case', 'Api.Example.COM', 'api.example.com'],
    ['one trailing dot is removed', 'a.test.', 'a.test'],
    ['underscore', '_dmarc.a.test', '_dmarc.a.test'],
    ['punycode', 'xn--bcher-kva.test', 'xn--bcher-kva.test'],
    ['a single label', 'localhost', 'localhost'],
    ['63 characters in a label', `${'a'.repeat(63)}.test`, `${'a'.repeat(63)}.test`],
  ])('%s', (_, text, expected) => expect(normalizeHost(text)).toBe(expected));
  test.each([
    ['nothing', ''],
    ['two trailing dots', 'a.test..'],
    ['an empty label', 'a..test'],
    ['a leading dot', '.a.test'],
    ['64 characters in a label', `${'a'.repeat(64)}.test`],
    ['254 characters', `${'a.'.repeat(126)}aa`],
    ['a U-label', 'bücher.test'],
    ['a star', '*.a.test'],
    ['a space', 'a b.test'],
    ['NUL', 'a\0.test'],
    ['a slash', 'a/b'],
    ['an address', '203.0.113.1'],
    ['a number', '2130706433'],
    ['hexadecimal', 'a.0x7f'],
    ['an address with a trailing dot', '127.0.0.1.'],
  ])('refused: %s', (_, text) => expect(normalizeHost(text)).toBeNull());
});

describe('parseAuthority', () => {
  test.each<[string, {host: string; port: number | null; literal: string | null}]>([
    ['A.test:8443', {host: 'a.test', port: 8443, literal: null}],
    ['a.test:', {host: 'a.test', port: null, literal: null}],
    ['203.0.113.1:80', {host: '203.0.113.1', port: 80, literal: '203.0.113.1'}],
    ['[2001:DB8:0::1]:443', {host: '2001:db8::1', port: 443, literal: '2001:db8::1'}],
    ['[::ffff:169.254.169.254]', {host: '::ffff:169.254.169.254', port: null, literal: '::ffff:169.254.169.254'}],
    ['0x7f.1', {host: '127.0.0.1', port: null, literal: '127.0.0.1'}],
    ['017700000001', {host: '127.0.0.1', port: null, literal: '127.0.0.1'}],
    ['2130706433:80', {host: '127.0.0.1', port: 80, literal: '127.0.0.1'}],
    ['0251.0376.0251.0376', {host: '169.254.169.254', port: null, literal: '169.254.169.254'}],
    ['127.1.', {host: '127.0.0.1', port: null, literal: '127.0.0.1'}],
  ])('%s', (text, expected) => expect(parseAuthority(text)).toEqual(expected));
  test.each([
    '',
    ':80',
    'a.test:0',
    'a.test:65536',
    'a.test:8 0',
    'a.test:80:80',
    'u@a.test',
    '[::1',
    '[::1]x',
    '[::1%25eth0]',
    '[127.0.0.1]',
    '::1',
    '08.1',
    '256.1.1.1',
    '1.2.3.4.5',
    '4294967296',
    'a test',
  ])('refused: %s', (text) => expect(parseAuthority(text)).toBeNull());
  test('agrees with the reference on anything like an authority', () => {
    const part = fc.constantFrom(
      'a',
      'B',
      '.',
      '-',
      '_',
      '0x',
      '7f',
      '1',
      '255',
      '256',
      '08',
      ':',
      '80',
      '[',
      ']',
      '::1',
      '@',
      ' ',
      'é',
    );
    fc.assert(
      fc.property(fc.array(part, {maxLength: 8}), (parts) => {
        const text = parts.join('');
        const ours = parseAuthority(text);
        const theirs = referenceAuthority(text);
        expect(ours === null ? null : {host: ours.host, literal: ours.literal !== null, port: ours.port}).toEqual(
          theirs,
        );
        expect(normalizeHost(text)).toBe(referenceHost(text));
      }),
      {numRuns: 3000},
    );
  });
});

describe('host patterns', () => {
  test('exact, suffix, any', () => {
    expect(parseHostPattern('A.Test.')).toMatchObject({
      ok: true,
      text: 'a.test',
      pattern: {kind: 'exact', host: 'a.test'},
    });
    expect(parseHostPattern('*.A.test')).toMatchObject({
      ok: true,
      text: '*.a.test',
      pattern: {kind: 'suffix', suffix: 'a.test'},
    });
    expect(parseHostPattern('*')).toMatchObject({ok: true, pattern: {kind: 'any'}});
  });
  test.each([
    ['a literal', '203.0.113.1', /address/],
    ['an IPv6 literal', '2001:db8::1', /address/],
    ['another spelling of one', '0x7f.1', /address/],
    ['a star inside', 'a.*.test', /whole labels/],
    ['part of a label', '*a.test', /whole labels/],
    ['two stars', '*.*.test', /whole labels/],
    ['a U-label', 'bücher.test', /ASCII/],
    ['a port', 'a.test:443', /no port/],
    ['a URL', 'https://a.test/', /no host name/],
    ['nothing', '', /empty/],
    ['an empty label', 'a..test', /no valid/],
  ])('refused with a fix: %s', (_, text, message) => {
    const parsed = parseHostPattern(text);
    expect(parsed).toMatchObject({
      ok: false,
      message: expect.stringMatching(message),
      fix: expect.stringMatching(/\w/),
    });
  });
  test('suffixes end at labels', () => {
    expect(isBelow('a.b.test', 'b.test')).toBe(true);
    expect(isBelow('ab.test', 'b.test')).toBe(false);
    expect(isBelow('evil-b.test', 'b.test')).toBe(false);
    expect(isBelow('b.test', 'b.test')).toBe(false);
    expect(isBelow('.b.test', 'b.test')).toBe(false);
    expect(isUnder('b.test', 'b.test')).toBe(true);
    expect(isUnder('b.test', '')).toBe(false);
  });
});
