/**
 * Pods on one bridge talk past IP: their frames go from port to port and no rule of `table inet` sees them. This table
 * leads every IP frame from or to a member's port up to the bridge's own address, so that pod-to-pod traffic is routed:
 * captured, refused and counted like any other. Pure.
 */
import type {Capture} from './config.ts';
import {bridgeSets} from './elements.ts';
import {marking} from './marks.ts';
import {block, BRIDGE_COUNTERS, BRIDGE_TABLE, declareSets} from './tables.ts';

/**
 * What may go from port to port: without it a neighbour cannot answer a connection that was opened towards it. It is
 * answered to global addresses too; one that is sent up to the bridge instead is judged by the rules there.
 */
export const NEIGHBOUR_DISCOVERY = 'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255';

/**
 * All but what the rules of `table inet` let pass: kube-proxy may send that to a pod of the same bridge, and with br_netfilter
 * it goes across from there and is not seen by them again. No pod can set a mark.
 */
export function unjudged({config}: Capture): string {
  return marking(config).isNot(config.marks.passed);
}

export function bridgeTable(capture: Capture): string[] {
  const lines = [`table ${BRIDGE_TABLE} {`, ...Object.keys(BRIDGE_COUNTERS).map((name) => `  counter ${name} { }`)];
  lines.push(...declareSets(bridgeSets(capture), setType));
  // -300, where a bridge decides between "up" and "across"; br_netfilter comes after it, at 0.
  const prerouting = ['type filter hook prerouting priority -300; policy accept;'];
  const forward = ['type filter hook forward priority filter - 10; policy accept;'];
  // Stays below; its sources are checked by nobody, as ARP's are.
  prerouting.push(`${NEIGHBOUR_DISCOVERY} accept`);
  forward.push(`${NEIGHBOUR_DISCOVERY} accept`);
  capture.bridges.forEach(({mac}, n) => {
    const up = `ether daddr set ${mac} meta pkttype set host counter name bridge_routed accept`;
    prerouting.push(
      `iifname @known_ports_${n} ether type ip iifname . ip saddr != @ports4_${n} counter name bridge_spoofed drop`,
      `iifname @known_ports_${n} ether type ip6 ip6 saddr != fe80::/10 iifname . ip6 saddr != @ports6_${n} counter name bridge_spoofed drop`,
      // The other way round: a member's address from a port that is not its own, be that anybody's.
      `ip saddr @plugged4_${n} iifname . ip saddr != @ports4_${n} counter name bridge_spoofed drop`,
      `ip6 saddr @plugged6_${n} iifname . ip6 saddr != @ports6_${n} counter name bridge_spoofed drop`,
      // A tag, or another protocol, would be a frame that no rule reads.
      `iifname @known_ports_${n} ether type != { ip, ip6, arp } counter name bridge_spoofed drop`,
      `iifname @routed_ports_${n} ether type { ip, ip6 } ${up}`,
      // From a port that has come since the ports were listed.
      `ip saddr @addresses4_${n} ${up}`,
      `ip6 saddr @addresses6_${n} ${up}`,
      `ip daddr @addresses4_${n} ${up}`,
      `ip6 daddr @addresses6_${n} ${up}`,
    );
    forward.push(`iifname @routed_ports_${n} ether type != arp ${unjudged(capture)} counter name bridge_dropped drop`);
  });
  lines.push(...block('chain prerouting', prerouting), ...block('chain forward', forward), '}');
  return lines;
}

function setType(name: string): string {
  if (name.startsWith('ports')) return `ifname . ${name.startsWith('ports6') ? 'ipv6_addr' : 'ipv4_addr'}`;
  if (/^(addresses|plugged)/.test(name)) return /^[a-z]+6/.test(name) ? 'ipv6_addr' : 'ipv4_addr';
  return 'ifname';
}
