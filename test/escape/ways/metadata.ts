/** The clouds' metadata servers, whose answers are credentials. */
import type {Attempt, Attacker} from '../attempt.ts';
import {METADATA, SERVICE_OF_METADATA} from '../addresses.ts';
import {http, say, tlsTo} from '../wire.ts';

const way = (id: string, title: string, attempt: (by: Attacker) => Promise<unknown>): Attempt => ({
  id: `metadata-${id}`,
  title,
  invariant: 4,
  attempt: async (by) => void (await attempt(by)),
  control: 'free',
});

export const METADATA_WAYS: readonly Attempt[] = [
  way('http', 'the metadata server by its address', (by) => by.curl(`http://${METADATA}/latest/${by.token}`)),
  way('token', 'its session token (IMDSv2) by PUT', (by) =>
    by.curl('-X', 'PUT', '-H', 'X-aws-ec2-metadata-token-ttl-seconds: 60', `http://${METADATA}/latest/${by.token}`),
  ),
  way('google', 'Google’s, with the Host it wants', (by) =>
    by.curl('-H', 'Host: metadata.google.internal', '-H', 'Metadata-Flavor: Google', `http://${METADATA}/${by.token}`),
  ),
  way('ranged', 'on a port where a rule holds every address', (by) => by.curl(`http://${METADATA}:8088/${by.token}`)),
  way('v6', 'over IPv6', (by) => by.curl(`http://[fd00:ec2::254]/${by.token}`)),
  way('v6-ranged', 'over IPv6, on a port where a rule holds every address', (by) =>
    by.curl(`http://[fd00:ec2::254]:8088/${by.token}`),
  ),
  way('v6-google', 'Google’s over IPv6', (by) => by.curl(`http://[fd20:ce::254]:8088/${by.token}`)),
  way('azure', 'Azure’s wire server', (by) => by.curl(`http://168.63.129.16:8088/${by.token}`)),
  way('alibaba', 'Alibaba’s', (by) => by.curl(`http://100.100.100.200:8088/${by.token}`)),
  way('ecs', 'the address of container credentials', (by) => by.curl(`http://169.254.170.2:8088/${by.token}`)),
  way('nat64', 'behind the NAT64 prefix', (by) => by.curl(`http://[64:ff9b::a9fe:a9fe]:8088/${by.token}`)),
  way('nat64-local', 'behind the local NAT64 prefix', (by) =>
    by.curl(`http://[64:ff9b:1::a9fe:a9fe]:8088/${by.token}`),
  ),
  way('6to4', 'inside a 6to4 address', (by) => by.curl(`http://[2002:a9fe:a9fe::1]:8088/${by.token}`)),
  way('teredo', 'inside a Teredo address', (by) => by.curl(`http://[2001:0:cb00:7105:0:0:5601:5601]:8088/${by.token}`)),
  way('udp', 'by UDP', (by) => by.datagram(METADATA, 80, by.token)),
  way('ping', 'by ping', (by) => by.program('raw', 'ping', METADATA, by.token)),
  way('service', 'behind a Service that has it as an endpoint', (by) =>
    by.curl(`http://${SERVICE_OF_METADATA}/${by.token}`),
  ),
  way('service-ranged', 'behind such a Service, on a port where a rule holds every address', (by) =>
    by.curl(`http://${SERVICE_OF_METADATA}:8088/${by.token}`),
  ),
  way('tls', 'TLS under an allowed name at its address', async (by) =>
    say(
      await tlsTo(by, METADATA, 'allowed.test', {ALPNProtocols: ['http/1.1']}),
      http(`GET /private/${by.token} HTTP/1.1`, 'Host: allowed.test'),
    ),
  ),
];
