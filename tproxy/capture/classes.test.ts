import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import {parseAddress} from '../../policy/match/addresses.ts';
import {forbiddenInAudit, rangesOf} from '../../policy/match/classes.ts';
import {refusedPrefixes} from './classes.ts';

type Parsed = ReturnType<typeof ipaddr.parseCIDR>[];
const parsed = new Map<string, {v4: Parsed; v6: Parsed}>();

function refuses(ip: string, nodeCidrs: string[] = [], nat64: string[] = []): boolean {
  const key = JSON.stringify([nodeCidrs, nat64]);
  let lists = parsed.get(key);
  if (lists === undefined) {
    const {v4, v6} = refusedPrefixes(nodeCidrs, nat64);
    lists = {v4: v4.map((cidr) => ipaddr.parseCIDR(cidr)), v6: v6.map((cidr) => ipaddr.parseCIDR(cidr))};
    parsed.set(key, lists);
  }
  const address = ipaddr.parse(ip);
  return (address.kind() === 'ipv4' ? lists.v4 : lists.v6).some((cidr) => address.match(cidr));
}

describe('what Audit refuses of the packets that nobody decides', () => {
  test.each([
    ['metadata', '169.254.169.254'],
    ['metadata of Azure', '168.63.129.16'],
    ['metadata of Alibaba', '100.100.100.200'],
    ['metadata over IPv6', 'fd00:ec2::254'],
    ['loopback', '127.0.0.53'],
    ['loopback over IPv6', '::1'],
    ['unspecified', '0.0.0.0'],
    ['multicast', '224.0.0.251'],
    ['multicast over IPv6', 'ff02::fb'],
    ['broadcast', '255.255.255.255'],
    ['link-local over IPv6', 'fe80::1'],
    ['metadata behind NAT64', '64:ff9b::a9fe:a9fe'],
    ['metadata behind 6to4', '2002:a9fe:a9fe::1'],
    ['metadata, IPv4-mapped', '::ffff:169.254.169.254'],
    ['anything behind Teredo', '2001:0:4136:e378:8000:63bf:3fff:fdd2'],
    ['anything behind local-use NAT64', '64:ff9b:1::a9fe:a9fe'],
  ])('%s', (_what, ip) => {
    expect(refuses(ip)).toBe(true);
  });

  test.each([
    '203.0.113.5',
    '10.0.0.1',
    '100.64.0.1',
    '2001:db8::5',
    'fd00::1',
    '64:ff9b::cb00:7105',
    '2002:cb00:7105::1',
  ])('%s passes: its class is no concern of Audit', (ip) => {
    expect(refuses(ip)).toBe(false);
  });

  test('the nodes’ addresses, and what embeds them', () => {
    const nodes = ['192.168.1.0/24', '2001:db8:1::/64'];
    for (const ip of ['192.168.1.7', '2001:db8:1::7', '64:ff9b::c0a8:107', '2001:db8:64::c0a8:107'])
      expect(refuses(ip, nodes, ['2001:db8:64::/96'])).toBe(true);
  });

  test('a NAT64 prefix that is not /96 is refused whole', () => {
    expect(refuses('2001:db8:65:12::1', [], ['2001:db8:65::/56'])).toBe(true);
  });

  test('the kernel refuses what policy/ forbids in Audit, and nothing else but what hides an IPv4 address', () => {
    const nodes = ['192.168.1.0/24', '2001:db8:1::/64'];
    const nat64 = ['2001:db8:64::/96'];
    const ranges = rangesOf({
      defaultAction: 'Deny',
      clusterDomain: 'cluster.local',
      serviceCidrs: [],
      podCidrs: [],
      nodeCidrs: nodes,
      nat64Prefixes: nat64,
      searchDomains: [],
      ownPorts: [],
    });
    const v4 = fc.oneof(
      fc.ipV4(),
      fc.constantFrom(
        '169.254.169.254',
        '168.63.129.16',
        '100.100.100.200',
        '169.254.0.23',
        '192.0.0.9',
        '192.168.1.9',
        '127.0.0.1',
        '0.1.2.3',
        '255.255.255.255',
        '239.1.1.1',
      ),
    );
    const group = (ip: string): string => {
      const [a, b, c, d] = ip.split('.').map(Number) as [number, number, number, number];
      return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
    };
    const embedding = fc.constantFrom('64:ff9b::', '::ffff:', '::', '::ffff:0:', '2001:db8:64::');
    const ip = fc.oneof(
      v4,
      fc.ipV6(),
      fc.constantFrom(
        'fd00:ec2::254',
        'fd00:ec2::23',
        'fd20:ce::254',
        'fe80::a9fe:a9fe',
        'ff02::1',
        '::',
        '::1',
        '2001:db8:1::5',
        'fec0::1',
      ),
      fc.tuple(embedding, v4).map(([prefix, inner]) => `${prefix}${group(inner)}`),
      v4.map((inner) => `2002:${group(inner)}::1`),
    );
    const hiding = ['2001::/32', '64:ff9b:1::/48'].map((cidr) => ipaddr.parseCIDR(cidr));
    fc.assert(
      fc.property(ip, (text) => {
        const address = ipaddr.parse(text);
        const forbidden = forbiddenInAudit(ranges, parseAddress(address.toNormalizedString())!, 443) !== null;
        const refused = refuses(text, nodes, nat64);
        if (refused === forbidden) return true;
        return refused && hiding.some((cidr) => address.kind() === 'ipv6' && address.match(cidr));
      }),
      {numRuns: 2000},
    );
  });

  test('no two prefixes overlap, whatever the nodes’ are: nft would refuse the ruleset', () => {
    const cidr = fc.oneof(
      fc.tuple(fc.ipV4(), fc.integer({min: 1, max: 32})).map(([ip, length]) => `${ip}/${length}`),
      fc.tuple(fc.ipV6(), fc.integer({min: 1, max: 128})).map(([ip, length]) => `${ip}/${length}`),
    );
    fc.assert(
      fc.property(fc.array(cidr, {maxLength: 6}), (nodes) => {
        const {v4, v6} = refusedPrefixes(nodes, []);
        for (const list of [v4, v6]) {
          const parsed = list.map((text) => ipaddr.parseCIDR(text));
          const overlaps = parsed.some(([address, length], i) =>
            parsed.some((other, j) => i !== j && other[1] <= length && address.match(other)),
          );
          if (overlaps) return false;
        }
        return true;
      }),
    );
  });
});
