import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import {canonical, embedded} from '../../test/reference/texts.ts';
import {
  canonicalAddress,
  cidrHolds,
  cidrInside,
  embeddedIpv4,
  formatAddress,
  formatCidr,
  inAnyCidr,
  parseAddress,
  parseCidr,
  parseLooseIpv4,
} from './addresses.ts';

const bytes4 = fc.uint8Array({minLength: 4, maxLength: 4});
const bytes16 = fc.oneof(
  fc.uint8Array({minLength: 16, maxLength: 16}),
  // Many zeros, as real addresses have them, and the forms that embed.
  fc
    .array(fc.constantFrom(0, 0, 0, 0, 1, 255, 0x20, 0x02, 0x64, 0x9b, 10, 169), {minLength: 16, maxLength: 16})
    .map((b) => Uint8Array.from(b)),
);
const text6 = bytes16.map((bytes) => new ipaddr.IPv6([...bytes]).toString());

describe('addresses', () => {
  test.each([
    ['203.0.113.1', '203.0.113.1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['::', '::'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['::ffff:1.2.3.4', '::ffff:1.2.3.4'],
    ['::ffff:102:304', '::ffff:1.2.3.4'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
  ])('%s is %s', (text, expected) => expect(canonicalAddress(text)).toBe(expected));
  test.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '1.2.3.256',
    '1.2.3.4 ',
    '0x1.2.3.4',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7',
    '12345::',
    'g::',
    '::1%eth0',
    '[::1]',
    '1:',
    '::1.2.3',
    '1.2.3.4::',
  ])('refused: %s', (text) => expect(parseAddress(text)).toBeNull());
  test('agrees with ipaddr.js on every address', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          text6,
          bytes4.map((b) => [...b].join('.')),
        ),
        (text) => {
          expect(canonicalAddress(text)).toBe(canonical(text));
          expect(canonicalAddress(canonicalAddress(text)!)).toBe(canonicalAddress(text));
        },
      ),
      {numRuns: 3000},
    );
  });
  test('agrees with ipaddr.js on what lies in a range', () => {
    fc.assert(
      fc.property(text6, text6, fc.integer({min: 0, max: 128}), (net, ip, bits) => {
        const cidr = parseCidr(`${net}/${bits}`)!;
        expect(cidrHolds(cidr, parseAddress(ip)!)).toBe(ipaddr.parse(ip).match(ipaddr.parseCIDR(`${net}/${bits}`)));
        expect(cidrHolds(cidr, parseAddress(net)!)).toBe(true);
      }),
      {numRuns: 3000},
    );
  });
  test('agrees with the reference on what is embedded', () => {
    fc.assert(
      fc.property(text6, (text) => {
        if (text.startsWith('64:ff9b:1:') || text.startsWith('::ffff:0:')) return;
        expect(embeddedIpv4(parseAddress(text)!, []).map(formatAddress)).toEqual(
          embedded(ipaddr.parse(text)).map(String),
        );
      }),
      {numRuns: 5000},
    );
  });
});

describe('ranges', () => {
  test.each([
    ['10.0.0.0/8', '10.0.0.0/8', false],
    ['10.1.2.3/8', '10.0.0.0/8', true],
    ['10.1.2.3', '10.1.2.3/32', false],
    ['2001:db8::1/32', '2001:db8::/32', true],
    ['0.0.0.0/0', '0.0.0.0/0', false],
  ])('%s is %s', (text, expected, hostBits) => {
    const cidr = parseCidr(text)!;
    expect([formatCidr(cidr), cidr.hostBits]).toEqual([expected, hostBits]);
  });
  test.each(['10.0.0.0/33', '::/129', '10.0.0.0/08', '10.0.0.0/', '10.0.0.0/-1', '10.0.0/8', '/8', '10.0.0.0/8/8'])(
    'refused: %s',
    (text) => expect(parseCidr(text)).toBeNull(),
  );
  test('one inside another', () => {
    const cidr = (text: string) => parseCidr(text)!;
    expect(cidrInside(cidr('10.1.0.0/16'), cidr('10.0.0.0/8'))).toBe(true);
    expect(cidrInside(cidr('10.0.0.0/8'), cidr('10.1.0.0/16'))).toBe(false);
    expect(cidrInside(cidr('0.0.0.0/0'), cidr('::/0'))).toBe(false);
  });
  test('a test for several, embedded addresses included', () => {
    const holds = inAnyCidr(['10.0.0.0/8', 'fd00::/8', 'no range']);
    expect(['10.1.1.1', 'fd00::1', '::ffff:10.1.1.1', '203.0.113.1', 'no address'].map(holds)).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });
});

describe('embedded IPv4', () => {
  const of = (text: string, prefixes: string[] = []) =>
    embeddedIpv4(
      parseAddress(text)!,
      prefixes.map((prefix) => parseCidr(prefix)!),
    ).map(formatAddress);
  test.each<[string, string[], string[]]>([
    ['::ffff:10.1.2.3', [], ['10.1.2.3']],
    ['::10.1.2.3', [], ['10.1.2.3']],
    ['::1', [], []],
    ['64:ff9b::a9fe:a9fe', [], ['169.254.169.254']],
    ['2002:a00:1::1', [], ['10.0.0.1']],
    ['2001:0:203.0.113.1'.replace('203.0.113.1', 'cb00:7101') + '::f5ff:fffe', [], ['203.0.113.1', '10.0.0.1']],
    ['64:ff9b:1:a9fe:a9:fe00::', [], ['169.254.169.254']],
    ['64:ff9b:1::a9fe:a9fe', [], ['169.254.169.254']],
    ['64:ff9b:1:2::a9fe:a9fe', ['64:ff9b:1:2::/96'], ['169.254.169.254']],
    ['2001:db8:a9fe:a9fe::', ['2001:db8::/32'], ['169.254.169.254']],
    ['2001:db8:1a9:fea9:fe::', ['2001:db8:100::/40'], ['169.254.169.254']],
    ['2001:db8:1:a9fe:a9:fe00::', ['2001:db8:1::/48'], ['169.254.169.254']],
    ['2001:db8:1:2a9:fe:a9fe::', ['2001:db8:1:200::/56'], ['169.254.169.254']],
    ['2001:db8:1:2:a9:fea9:fe00:0', ['2001:db8:1:2::/64'], ['169.254.169.254']],
    ['2001:db8::1', [], []],
  ])('%s with %j carries %j', (text, prefixes, expected) =>
    expect(of(text, prefixes)).toEqual(expect.arrayContaining(expected)),
  );
});

test.each([
  ['0x7f.1', '127.0.0.1'],
  ['0177.0.0.01', '127.0.0.1'],
  ['1.2.772', '1.2.3.4'],
  ['0', '0.0.0.0'],
  ['256.1', null],
  ['1.2.3.256', null],
  ['09', null],
  ['', null],
  ['1..2', null],
])('inet_aton reads %s as %s', (text, expected) => {
  const ip = parseLooseIpv4(text);
  expect(ip === null ? null : formatAddress(ip)).toBe(expected);
});
