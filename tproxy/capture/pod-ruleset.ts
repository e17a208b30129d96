/**
 * Capture inside a pod (`capture: pod`): the rules of the pod's own network namespace, set once by an init container with
 * NET_ADMIN before anything else of the pod runs. Nobody else in the pod has NET_ADMIN, so nobody can change them. Pure.
 *
 * What leaves a process of the pod, in this order:
 *   1. the proxy's own, told by its user, passes
 *   2. replies to connections that were opened towards the pod pass
 *   3. DNS to the named resolver and neighbour discovery pass; what stays inside the pod passes, but to the proxy's ports
 *   4. TCP is redirected to the proxy; while nothing listens there it is refused
 *   5. everything else is refused
 */
import type {Endpoint} from '../../policy/index.ts';
import {familyOf} from './sockaddr.ts';
import {block} from './tables.ts';

export const POD_TABLE = 'inet sallyport_pod';

export interface PodCapture {
  /** The user that the proxy runs as, and nobody else in the pod may be (docs/GUARD.md). */
  readonly proxyUid: number;
  readonly capturedPort: number;
  /** The proxy's further ports that the pod's own programs may not reach: admin. */
  readonly closedPorts: readonly number[];
  /** The one way out for DNS, over UDP and TCP. */
  readonly resolvers: readonly Endpoint[];
}

/** Every counter and what it counts. */
export const POD_COUNTERS = {
  taken: 'connections redirected to the proxy',
  ports_closed: 'refused: our own ports, not by the way that is theirs',
  refused_tcp: 'refused: TCP that was not redirected',
  refused_udp: 'refused: UDP',
  refused_other: 'refused: any other protocol',
} as const;

/** The whole ruleset for `nft -f -`, in one transaction. Throws RangeError for a user who is root. */
export function podRuleset(capture: PodCapture): string {
  // Root is who containers are by default.
  if (!Number.isInteger(capture.proxyUid) || capture.proxyUid < 1 || capture.proxyUid > 0xfffffffe)
    throw new RangeError(`${capture.proxyUid} is no user that only the proxy could be`);
  return [
    `add table ${POD_TABLE}`,
    `delete table ${POD_TABLE}`,
    `table ${POD_TABLE} {`,
    ...Object.keys(POD_COUNTERS).map((name) => `  counter ${name} { }`),
    ...block('chain redirected', redirect(capture)),
    ...block('chain lock', lock(capture)),
    '}',
    '',
  ].join('\n');
}

const dns = ({resolvers}: PodCapture, verdict: string): string[] =>
  resolvers.flatMap(({ip, port}) =>
    ['udp', 'tcp'].map(
      (protocol) => `${familyOf(ip) === 4 ? 'ip' : 'ip6'} daddr ${ip} ${protocol} dport ${port} ${verdict}`,
    ),
  );

/** A connection meets nat chains once, with its first packet. */
function redirect(capture: PodCapture): string[] {
  return [
    'type nat hook output priority -100; policy accept;',
    `meta skuid ${capture.proxyUid} accept`,
    'oifname "lo" accept',
    ...dns(capture, 'accept'),
    `meta l4proto tcp counter name taken redirect to :${capture.capturedPort}`,
  ];
}

function lock(capture: PodCapture): string[] {
  const {proxyUid, capturedPort, closedPorts} = capture;
  return [
    'type filter hook output priority filter; policy accept;',
    `meta skuid ${proxyUid} accept`,
    // Probes, port-forward, Services: opened towards the pod.
    'ct state established,related ct direction reply accept',
    `tcp dport ${capturedPort} ct status dnat accept`,
    `oifname "lo" tcp dport { ${[capturedPort, ...closedPorts].join(', ')} } counter name ports_closed reject with tcp reset`,
    'oifname "lo" accept',
    ...dns(capture, 'accept'),
    // RFC 4861: it stays on the link.
    'icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept',
    'icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } ip6 daddr ff02::/16 accept',
    'meta l4proto tcp counter name refused_tcp reject with icmpx admin-prohibited',
    'meta l4proto udp counter name refused_udp reject with icmpx admin-prohibited',
    'counter name refused_other reject with icmpx admin-prohibited',
  ];
}
