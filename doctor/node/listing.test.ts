import {describe, expect, test} from '@jest/globals';
import {differences, elementsOf, withoutElements} from './listing.ts';

const LISTING = `table inet sallyport {
	set locked4 {
		type ifname . ipv4_addr
		elements = { "p-a" . 10.0.0.1,
			     "p-b" . 10.0.0.2 }
	}

	set special4 {
		type ipv4_addr
		flags interval
		elements = { 169.254.169.254 }
	}

	chain lock {
		meta l4proto tcp counter name "listener_away" drop
		meta l4proto tcp counter name "listener_away" drop
		counter name "refused_other" reject with icmpx admin-prohibited
	}
}
`;

test('members come and go, the addresses that are nobody’s destination do not', () => {
  const text = withoutElements(LISTING);
  expect(text).not.toContain('10.0.0.');
  expect(text).toContain('169.254.169.254');
  expect(text).toContain('chain lock {');
});

describe('differences', () => {
  const without = (line: string): string => LISTING.replace(`\t\t${line}\n`, '');
  test.each<[string, string, {missing: string[]; foreign: string[]}]>([
    ['none', LISTING, {missing: [], foreign: []}],
    [
      'a rule that is there once instead of twice',
      without('meta l4proto tcp counter name "listener_away" drop'),
      {missing: ['chain lock: meta l4proto tcp counter name "listener_away" drop'], foreign: []},
    ],
    [
      'the same rule in another chain is missing here and foreign there',
      LISTING.replace('chain lock', 'chain other'),
      {
        missing: [
          'chain lock',
          ...Array<string>(2).fill('chain lock: meta l4proto tcp counter name "listener_away" drop'),
          'chain lock: counter name "refused_other" reject with icmpx admin-prohibited',
        ],
        foreign: [
          'chain other',
          ...Array<string>(2).fill('chain other: meta l4proto tcp counter name "listener_away" drop'),
          'chain other: counter name "refused_other" reject with icmpx admin-prohibited',
        ],
      },
    ],
    [
      'the same rules in another order are other rules',
      LISTING.replace(/(\t\tmeta l4proto[^\n]*\n)(\t\tcounter[^\n]*\n)/, '$2$1'),
      {missing: [], foreign: ['the same rules in another order']},
    ],
  ])('%s', (_, actual, expected) => {
    expect(differences(LISTING, actual)).toEqual(expected);
  });
});

test('elements are written as ours: interfaces quoted, addresses not', () => {
  const nftables = [
    {metainfo: {}},
    {set: {name: 'locked4', type: ['ifname', 'ipv4_addr'], elem: [{concat: ['p-a', '10.0.0.1']}]}},
    {set: {name: 'closed_interfaces', type: 'ifname', elem: ['p-a', {elem: {val: 'p-b'}}]}},
    {set: {name: 'empty', type: 'ipv4_addr'}},
    {set: {name: 'refused4', type: 'ipv4_addr', elem: [{prefix: {addr: '10.0.0.0', len: 8}}]}},
  ];
  expect(elementsOf(JSON.stringify({nftables}))).toEqual(
    new Map([
      ['locked4', new Set(['"p-a" . 10.0.0.1'])],
      ['closed_interfaces', new Set(['"p-a"', '"p-b"'])],
      ['empty', new Set()],
      ['refused4', new Set(['10.0.0.0/8'])],
    ]),
  );
});
