/** The node itself: its services, its NodePorts, our own ports on it. */
import type {Attempt, Attacker} from '../attempt.ts';
import {NODE_IP4, NODE_IP6, NODE_PORT, SITES} from '../addresses.ts';
import {http, say} from '../wire.ts';

const way = (
  id: string,
  title: string,
  attempt: (by: Attacker) => Promise<unknown>,
  control: Attempt['control'] = 'free',
): Attempt => ({
  id: `node-${id}`,
  title,
  invariant: 3,
  attempt: async (by) => void (await attempt(by)),
  control,
});

/** With a control of its own: only the node reaches its loopback. */
const byProxy = (id: string, title: string, authority: string, reached: string): Attempt =>
  way(
    `proxy-${id}`,
    title,
    async (by) => {
      await say(by.explicit(), http(`GET http://${authority}/${by.token} HTTP/1.1`, `Host: ${authority}`));
      await say(
        by.explicit(),
        http(`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`),
        http(`GET /${by.token} HTTP/1.1`, `Host: ${authority}`),
      );
    },
    {by: 'node', instead: async (by) => void (await by.curl(`http://${reached}/${by.token}`))},
  );

export const NODE: readonly Attempt[] = [
  way('http', 'a service of the node', (by) => by.curl(`http://${NODE_IP4}:8080/${by.token}`)),
  way('http6', 'a service of the node over IPv6', (by) => by.curl(`http://[${NODE_IP6}]:8080/${by.token}`)),
  way('kubelet', 'the kubelet', (by) => by.curl(`https://${NODE_IP4}:10250/${by.token}`)),
  way('ssh', 'the node’s ssh', (by) => say(by.connect(NODE_IP4, 22), by.token)),
  way('etcd', 'the node’s etcd', (by) => say(by.connect(NODE_IP4, 2379), by.token)),
  way('nodeport', 'a NodePort', (by) => by.curl(`http://${NODE_IP4}:${NODE_PORT}/${by.token}`)),
  way('nodeport-uplink', 'a NodePort at another address of the node', (by) =>
    by.curl(`http://10.79.0.2:${NODE_PORT}/${by.token}`),
  ),
  way('uplink', 'the node by another address of it', (by) => by.curl(`http://10.79.0.2:8080/${by.token}`)),
  way('gateway', 'the node by the pods’ gateway', (by) => by.curl(`http://169.254.1.1:8080/${by.token}`)),
  {
    ...way('gateway6', 'the node by its link-local address', (by) =>
      by.curl(`http://[fe80::1%25eth0]:8080/${by.token}`),
    ),
    // On a bridge the gateway is another.
    worlds: ['routed', 'redirect'],
  },
  way('ranged', 'the node on a port where a rule holds every address', (by) =>
    by.curl(`http://${NODE_IP4}:8088/${by.token}`),
  ),
  way('ranged6', 'the node over IPv6 on a port where a rule holds every address', (by) =>
    by.curl(`http://[${NODE_IP6}]:8088/${by.token}`),
  ),
  way('udp', 'UDP to the node', (by) => by.datagram(NODE_IP4, 8080, by.token)),
  way('udp6', 'UDP to the node over IPv6', (by) => by.datagram(NODE_IP6, 8080, by.token)),
  {
    id: 'node-ping',
    title: 'ping to the node',
    invariant: 3,
    attempt: async (by) =>
      (await by.program('raw', 'ping', NODE_IP4, by.token)).stdout.includes('answered') ? 'answered' : undefined,
    control: 'free',
  },
  {
    id: 'node-ping6',
    title: 'ping to the node over IPv6',
    invariant: 3,
    attempt: async (by) =>
      (await by.program('raw', 'ping', NODE_IP6, by.token)).stdout.includes('answered') ? 'answered' : undefined,
    control: 'free',
  },
  byProxy('address', 'the node asked of the explicit port', `${NODE_IP4}:8088`, `${NODE_IP4}:8088`),
  byProxy('loopback', 'the node’s loopback asked of the explicit port', '127.0.0.1:8088', '127.0.0.1:8088'),
  byProxy('loopback6', 'the node’s IPv6 loopback asked of the explicit port', '[::1]:8088', '[::1]:8088'),
  byProxy('loopback-other', 'another address of the loopback', '127.8.8.8:8088', '127.8.8.8:8088'),
  byProxy('unspecified', 'the unspecified address, which is the loopback to a dialler', '0.0.0.0:8088', '0.0.0.0:8088'),
  byProxy('unspecified6', 'the unspecified address of IPv6', '[::]:8088', '[::1]:8088'),
  byProxy('localhost', 'the node’s localhost by name', 'localhost:8088', 'localhost:8088'),
  way(
    'broadcast',
    'a broadcast on the link',
    (by) => by.program('raw', 'multicast', '255.255.255.255', '8080', by.token),
    {
      none: 'the node listens for no broadcasts; that nothing arrives elsewhere is what is looked at',
    },
  ),
  way('multicast', 'multicast on the link', (by) => by.program('raw', 'multicast', '239.1.1.1', '8080', by.token), {
    none: 'nobody routes multicast; that nothing arrives is what is looked at',
  }),
  way('multicast6', 'IPv6 multicast on the link', (by) => by.program('raw', 'multicast', 'ff02::1', '8080', by.token), {
    none: 'the link ends at the node; that nothing arrives is what is looked at',
  }),
  way('host-header', 'an allowed site whose Host is the node’s address', (by) =>
    say(by.connect(SITES.plain, 80), http(`GET /public/${by.token} HTTP/1.1`, `Host: ${NODE_IP4}`)),
  ),
];
