/**
 * A lab's network as text for `ip -batch`. Pure.
 *
 *   pod (eth0) --veth-- node --veth-- internet (any number of addresses on lo)
 *
 * Routed by default, /32 and /128 with a link-local gateway, as Calico and most cloud CNIs do it; or all pods on
 * one bridge, as the bridge CNI does it. Nothing of it touches the namespace the tests run in, and there is no
 * route to the real network.
 */

export interface PodPlan {
  readonly name: string;
  readonly namespace: string;
  /** The node's end of the veth. */
  readonly interface: string;
  /** An IPv4 and an IPv6 address, either may be absent. */
  readonly ips: readonly string[];
}

/** The pods' gateway in the routed layout: the same on every veth. */
export const GATEWAY4 = '169.254.1.1';
export const GATEWAY6 = 'fe80::1';
/** The link between node and internet. */
export const UPLINK = {
  interface: 'uplink',
  node4: '10.79.0.2',
  internet4: '10.79.0.1',
  node6: 'fd79::2',
  internet6: 'fd79::1',
} as const;
/** The bridge of the bridged layout, and its addresses in the pods' subnets. */
export const BRIDGE = {interface: 'br0', gateway4: '10.77.0.1', gateway6: 'fd77::1'} as const;

const isV6 = (ip: string): boolean => ip.includes(':');
const hostPrefix = (ip: string): string => (isV6(ip) ? `${ip}/128` : `${ip}/32`);
/** nodad: usable at once, no second of duplicate address detection. */
const withFlags = (cidr: string): string => (isV6(cidr) ? `${cidr} nodad` : cidr);

/** Interface names hold 15 characters: `p-` and the pod's name, shortened with a number where need be. */
export function interfaceName(pod: string, taken: ReadonlySet<string>): string {
  const whole = `p-${pod}`;
  if (whole.length <= 15 && !taken.has(whole)) return whole;
  for (let n = 1; ; n++) {
    const name = `${whole.slice(0, 14 - String(n).length)}~${n}`;
    if (!taken.has(name)) return name;
  }
}

/** Run in the node's namespace. */
export function nodeCommands(internetNamespace: string, ips: readonly string[], bridge: boolean): string[] {
  return [
    'link set lo up',
    `link add ${UPLINK.interface} type veth peer name eth0 netns ${internetNamespace}`,
    // Not on lo: an address there does not look like the node's own to programs that list them.
    ...ips.map((ip) => `addr add ${withFlags(hostPrefix(ip))} dev ${UPLINK.interface}`),
    `addr add ${UPLINK.node4}/30 dev ${UPLINK.interface}`,
    `addr add ${UPLINK.node6}/64 dev ${UPLINK.interface} nodad`,
    `link set ${UPLINK.interface} up`,
    `route add default via ${UPLINK.internet4}`,
    `route add default via ${UPLINK.internet6}`,
    ...(bridge
      ? [
          `link add ${BRIDGE.interface} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
          `addr add ${BRIDGE.gateway4}/24 dev ${BRIDGE.interface}`,
          `addr add ${BRIDGE.gateway6}/64 dev ${BRIDGE.interface} nodad`,
          `link set ${BRIDGE.interface} up`,
        ]
      : []),
  ];
}

/**
 * The kernel tells IPv6 of a carrier at most once a second, and the second end of a veth to come up waits for that. Asking
 * for one link's state makes it do so at once (Linux 6.8 and later).
 */
const SYNC = 'link show dev eth0';

/** Run in the internet's namespace. */
export function internetCommands(): string[] {
  return [
    'link set lo up',
    `addr add ${UPLINK.internet4}/30 dev eth0`,
    `addr add ${UPLINK.internet6}/64 dev eth0 nodad`,
    'link set eth0 up',
    SYNC,
    // The way back to pods is through the node: nothing is translated, so servers see who dialled.
    `route add default via ${UPLINK.node4}`,
    `route add default via ${UPLINK.node6}`,
  ];
}

/** Run in the node's namespace, for each pod. */
export function attachCommands(pod: PodPlan, bridge: boolean): string[] {
  const add = `link add ${pod.interface} type veth peer name eth0 netns ${pod.namespace}`;
  if (bridge) return [add, `link set ${pod.interface} master ${BRIDGE.interface}`, `link set ${pod.interface} up`];
  return [
    add,
    `addr add ${GATEWAY4}/32 dev ${pod.interface}`,
    `addr add ${GATEWAY6}/64 dev ${pod.interface} nodad`,
    `link set ${pod.interface} up`,
    ...pod.ips.map((ip) => `route add ${hostPrefix(ip)} dev ${pod.interface}`),
  ];
}

/** Run in the pod's namespace. */
export function podCommands(pod: PodPlan, bridge: boolean): string[] {
  const lines = ['link set lo up'];
  for (const ip of pod.ips) {
    const cidr = bridge ? `${ip}/${isV6(ip) ? 64 : 24}` : hostPrefix(ip);
    lines.push(`addr add ${withFlags(cidr)} dev eth0`);
  }
  lines.push('link set eth0 up', SYNC);
  for (const ip of pod.ips) {
    const gateway = bridge ? (isV6(ip) ? BRIDGE.gateway6 : BRIDGE.gateway4) : isV6(ip) ? GATEWAY6 : GATEWAY4;
    if (isV6(ip)) lines.push(`route add default via ${gateway} dev eth0 src ${ip}`);
    else lines.push(`route add default via ${gateway} dev eth0 onlink src ${ip}`);
  }
  return lines;
}

/** /proc/sys entries, written inside a namespace before its interfaces come up. */
export function sysctls(forwards: boolean, bridgeNetfilter: boolean): [string, string][] {
  const entries: [string, string][] = [];
  for (const which of ['all', 'default']) {
    entries.push(
      [`net/ipv6/conf/${which}/disable_ipv6`, '0'],
      [`net/ipv6/conf/${which}/accept_dad`, '0'],
      [`net/ipv6/conf/${which}/accept_ra`, '0'],
      // Replies to a pod's address come in by the uplink and end here: no reverse path says so.
      [`net/ipv4/conf/${which}/rp_filter`, '0'],
    );
    if (forwards) entries.push([`net/ipv4/conf/${which}/send_redirects`, '0']);
  }
  if (forwards)
    entries.push(
      ['net/ipv4/ip_forward', '1'],
      ['net/ipv6/conf/all/forwarding', '1'],
      // Refusals are the subject here: one a second would be a test of the limit.
      ['net/ipv4/icmp_ratelimit', '0'],
      ['net/ipv6/icmp/ratelimit', '0'],
    );
  // Frames on a bridge shown to the IP rules as well, as kube-proxy likes it; there only where the module is.
  if (forwards)
    for (const family of ['iptables', 'ip6tables'])
      entries.push([`net/bridge/bridge-nf-call-${family}`, bridgeNetfilter ? '1' : '0']);
  return entries;
}
