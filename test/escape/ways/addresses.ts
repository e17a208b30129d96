/** Names under a wildcard that is allowed, whose owner lets them resolve to where nobody may go (DNS rebinding). */
import type {Attempt, Attacker} from '../attempt.ts';
import {METADATA, SITES} from '../addresses.ts';
import {http, say, tlsTo} from '../wire.ts';

const host = (name: string): string => `${name}.wild.test`;

/** Asked of the proxy by a connection to some outside address: it looks the name up itself. */
const throughProxy = async (by: Attacker, name: string): Promise<void> => {
  await say(by.connect(SITES.wild, 80), http(`GET /${by.token} HTTP/1.1`, `Host: ${host(name)}`));
  await say(
    await tlsTo(by, SITES.wild, host(name), {ALPNProtocols: ['http/1.1']}),
    http(`GET /${by.token} HTTP/1.1`, `Host: ${host(name)}`),
  );
};

/** `reached`: what the control fetches to show that somebody is there. */
const resolving = (name: string, title: string, by: 'free' | 'node', reached = host(name)): Attempt => ({
  id: `addresses-${name}`,
  title: `a name of an allowed wildcard that resolves to ${title}`,
  invariant: 4,
  attempt: (attacker) => throughProxy(attacker, name),
  control: {by, instead: async (other) => void (await other.curl(`http://${reached}/${other.token}`))},
});

export const ADDRESSES: readonly Attempt[] = [
  resolving('metadata', 'the metadata server', 'free'),
  resolving('node', 'the node', 'free'),
  resolving('loopback', 'the loopback', 'node'),
  resolving('unspecified', 'the unspecified address', 'node'),
  resolving('private', 'a private address that no rule holds', 'free'),
  resolving('shared', 'an address of 100.64/10 that no rule holds', 'free'),
  resolving('linklocal', 'a link-local address', 'free'),
  {
    ...resolving('multicast', 'a multicast address', 'node'),
    control: {none: 'TCP has no multicast; that nothing arrives is what is looked at'},
  },
  resolving('mapped', 'the metadata server, mapped into IPv6', 'free', METADATA),
  resolving('compatible', 'the metadata server in the compatible form', 'free', METADATA),
  resolving('nat64', 'the metadata server behind NAT64', 'free'),
  resolving('localnat64', 'the metadata server behind the local NAT64 prefix', 'free'),
  resolving('sixtofour', 'the metadata server inside 6to4', 'free'),
  resolving('teredo', 'the metadata server inside Teredo', 'free'),
  resolving('awsv6', 'a metadata server’s IPv6 address', 'free'),
  resolving('azure', 'Azure’s wire server', 'free'),
  resolving('alibaba', 'Alibaba’s metadata server', 'free'),
  resolving('service', 'a Service’s address', 'free'),
  resolving('peer', 'another pod', 'free'),
  {
    id: 'addresses-rebind',
    title: 'a name that resolves to a public address first and to the metadata server ever after',
    invariant: 4,
    attempt: async (by) => {
      for (let n = 0; n < 4; n++) await throughProxy(by, 'once.rebind');
    },
    out: (place) => place.includes(METADATA),
    control: {
      by: 'free',
      instead: async (by) => void (await by.curl('--retry', '0', `http://${METADATA}/${by.token}`)),
    },
  },
  {
    id: 'addresses-both',
    title: 'a name that resolves to the metadata server and a public address at once',
    invariant: 4,
    attempt: (by) => throughProxy(by, 'at.both'),
    out: (place) => place.includes(METADATA),
    control: {by: 'free', instead: async (by) => void (await by.curl(`http://${METADATA}/${by.token}`))},
  },
];
