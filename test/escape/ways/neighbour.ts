/** Another pod. */
import type {Attempt, Attacker} from '../attempt.ts';
import {SERVICE} from '../addresses.ts';
import {say} from '../wire.ts';
import type {World} from '../world.ts';

const peer = (world: World): {ip4: string; ip6: string} => world.lab.pod('peer');

const way = (id: string, title: string, attempt: (by: Attacker, world: World) => Promise<unknown>): Attempt => ({
  id: `neighbour-${id}`,
  title,
  invariant: 3,
  attempt: async (by, world) => void (await attempt(by, world)),
  control: 'free',
});

const BROADCAST = 'ff:ff:ff:ff:ff:ff';

/** Of the link itself, which pods share on a bridge only. */
const onLink = (id: string, title: string, attempt: (by: Attacker, world: World) => Promise<unknown>): Attempt => ({
  ...way(id, title, attempt),
  worlds: ['bridged', 'bridged-redirect'],
});

export const NEIGHBOUR: readonly Attempt[] = [
  way('tcp', 'TCP to another pod', (by, world) => say(by.connect(peer(world).ip4, 9999), by.token)),
  way('tcp6', 'TCP to another pod over IPv6', (by, world) => say(by.connect(peer(world).ip6, 9999), by.token)),
  way('http', 'HTTP to another pod', (by, world) => by.curl(`http://${peer(world).ip4}:8080/${by.token}`)),
  way('udp', 'UDP to another pod', (by, world) => by.datagram(peer(world).ip4, 9999, by.token)),
  way('udp6', 'UDP to another pod over IPv6', (by, world) => by.datagram(peer(world).ip6, 9999, by.token)),
  way('ping', 'ping to another pod', (by, world) => by.program('raw', 'ping', peer(world).ip4, by.token)),
  way('ping6', 'ping to another pod over IPv6', (by, world) => by.program('raw', 'ping', peer(world).ip6, by.token)),
  way('service', 'another pod behind its Service', (by) => by.curl(`http://${SERVICE}/${by.token}`)),
  way('sctp', 'SCTP to another pod', (by, world) => by.program('raw', 'protocol', '132', peer(world).ip4, by.token)),
  way('spoof', 'UDP to another pod with the address of a third', (by, world) =>
    by.program('raw', 'spoof', '10.77.0.11', peer(world).ip4, '9999', by.token),
  ),
  way('syn-data', 'a SYN with data to another pod', (by, world) =>
    by.program('raw', 'segment', by.ip4, peer(world).ip4, '9999', 'S', by.token),
  ),
  way('midstream', 'a segment of no connection to another pod', (by, world) =>
    by.program('raw', 'segment', by.ip4, peer(world).ip4, '9998', 'PA', by.token),
  ),
  ...(
    [
      ['arp', 'an ARP frame that carries something', '0806'],
      ['ethertype', 'a frame of a protocol of its own', '88b5'],
      ['mpls', 'an MPLS frame', '8847'],
      ['pppoe', 'a PPPoE frame', '8863'],
    ] as const
  ).map(([id, title, ethertype]) =>
    onLink(id, title, (by) => by.program('raw', 'frame', 'eth0', BROADCAST, ethertype, by.token)),
  ),
  onLink('vlan', 'a datagram in a VLAN tag', (by, world) =>
    by.program('raw', 'tagged', 'eth0', BROADCAST, by.ip4, peer(world).ip4, by.token),
  ),
  onLink('discovery', 'a neighbour solicitation that carries something', (by, world) =>
    by.program('raw', 'discovery', peer(world).ip6, by.token),
  ),
  way('reply', 'a datagram that looks like an answer to another pod', (by, world) =>
    by.program('raw', 'spoof', by.ip4, peer(world).ip4, '53', by.token),
  ),
];
