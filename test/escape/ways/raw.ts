/** Packets that no ordinary socket sends: what CAP_NET_RAW allows, which a pod has unless it is taken away. */
import type {Attacker, Attempt} from '../attempt.ts';
import {EVIL, RESOLVER, SITES} from '../addresses.ts';

const way = (id: string, title: string, attempt: (by: Attacker) => Promise<unknown>): Attempt => ({
  id: `raw-${id}`,
  title,
  invariant: 3,
  attempt: async (by) => void (await attempt(by)),
  control: 'free',
});

const FOREIGN = {4: '198.51.100.77', 6: '2001:db8:ffff::77'} as const;

export const RAW: readonly Attempt[] = [
  ...(
    [
      ['sctp', 132],
      ['gre', 47],
      ['ipip', 4],
      ['6in4', 41],
      ['esp', 50],
      ['udplite', 136],
      ['dccp', 33],
      ['experimental', 253],
    ] as const
  ).map(([name, number]) =>
    way(name, `IP protocol ${number} (${name})`, (by) =>
      by.program('raw', 'protocol', String(number), EVIL[4], by.token),
    ),
  ),
  way('gre6', 'IP protocol 47 over IPv6', (by) => by.program('raw', 'protocol', '47', EVIL[6], by.token)),
  way('spoof', 'UDP with a source address of the internet', (by) =>
    by.program('raw', 'spoof', FOREIGN[4], EVIL[4], '9999', by.token),
  ),
  way('spoof6', 'UDP over IPv6 with a foreign source address', (by) =>
    by.program('raw', 'spoof', FOREIGN[6], EVIL[6], '9999', by.token),
  ),
  way('spoof-pod', 'UDP with the address of a pod that is free', (by) =>
    by.program('raw', 'spoof', '10.77.0.12', EVIL[4], '9999', by.token),
  ),
  {
    ...way('spoof-node', 'UDP with the address of the node', (by) =>
      by.program('raw', 'spoof', '10.79.0.2', EVIL[4], '9999', by.token),
    ),
    control: {none: 'the kernel drops its own addresses as sources, whoever sends them'},
  },
  way('syn-data', 'a SYN that already carries data', (by) =>
    by.program('raw', 'segment', by.ip4, EVIL[4], '9999', 'S', by.token),
  ),
  way('midstream', 'a TCP segment of a connection that was never opened', (by) =>
    by.program('raw', 'segment', by.ip4, EVIL[4], '9998', 'PA', by.token),
  ),
  way('midstream6', 'a TCP segment of a connection that was never opened, over IPv6', (by) =>
    by.program('raw', 'segment', by.ip6, EVIL[6], '9998', 'PA', by.token),
  ),
  way('rst', 'a reset that carries data', (by) => by.program('raw', 'segment', by.ip4, EVIL[4], '9997', 'R', by.token)),
  way('null-flags', 'a TCP segment with the flags of none that exists', (by) =>
    by.program('raw', 'segment', by.ip4, EVIL[4], '9996', 'FSRPAU', by.token),
  ),
  way('from-listener', 'a TCP segment from the numbers of the proxy’s own port', (by) =>
    by.program('raw', 'segment', by.ip4, SITES.allowed, '15080', 'PA', by.token),
  ),
  way('fragments', 'a datagram in fragments: the ports stand alone in the first', (by) =>
    by.program('raw', 'fragments', by.ip4, EVIL[4], '9999', by.token, '8'),
  ),
  way('fragments6', 'a datagram in fragments over IPv6', (by) =>
    by.program('raw', 'fragments', by.ip6, EVIL[6], '9999', by.token, '16'),
  ),
  {
    ...way('lonely', 'a later fragment without a first one', (by) =>
      by.program('raw', 'lonely', by.ip4, EVIL[4], by.token),
    ),
    control: {none: 'the node puts fragments together for everybody, so a lonely one of nobody’s passes'},
  },
  {
    ...way('lonely6', 'a later fragment without a first one, over IPv6', (by) =>
      by.program('raw', 'lonely', by.ip6, EVIL[6], by.token),
    ),
    control: {none: 'the node puts fragments together for everybody, so a lonely one of nobody’s passes'},
  },
  {
    ...way('overlap', 'overlapping fragments: to the resolver’s port and, over it, to another', (by) =>
      by.program('raw', 'overlap', by.ip4, RESOLVER, '53', '9999', by.token),
    ),
    control: {none: 'overlapping fragments are dropped by the node’s kernel, whoever sends them (CVE-2018-5391)'},
  },
  way('option-rr', 'an IPv4 option in front of the ports (record route)', (by) =>
    by.program('raw', 'options4', by.ip4, EVIL[4], by.token, 'rr'),
  ),
  way('option-alert', 'an IPv4 option in front of the ports (router alert)', (by) =>
    by.program('raw', 'options4', by.ip4, EVIL[4], by.token, 'alert'),
  ),
];
