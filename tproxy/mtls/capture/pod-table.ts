/**
 * mTLS inside a pod (`capture: pod`) as a table beside that of its capture: set once, by the same init container, before anything
 * else of the pod runs. What goes out is the capture's, and wrapped behind the policy; this is about what comes in. Pure.
 *
 * The way of a packet that comes in, in this order:
 *   1. answers to what the pod dialled, and what stays inside of it, pass
 *   2. ports that are left plain, the proxy's admin port, and probes from the node pass
 *   3. TCP is led to the proxy, which unwraps; while nothing listens there it is refused
 *   4. of a Strict pod everything else is refused, of a Permissive one it is counted
 * and what anybody but the proxy answers from the ports that it is led to is dropped.
 *
 * What the proxy hands to a program it dials under the peer's own address and port, to an address of nobody's that becomes the
 * pod's: by that one the answers are known, which are led back into the pod instead of out to the peer.
 */
import {POD_MTLS} from '../../../runtime/names.ts';
import {isV6} from '../../capture/config.ts';
import {DEFAULT_MARKS, marking} from '../../capture/marks.ts';
import {block} from '../../capture/tables.ts';

export const POD_MTLS_TABLE = 'inet sallyport_pod_mtls';

export interface PodMtlsCapture {
  /** The pod's own. */
  readonly ips: readonly string[];
  readonly proxyUid: number;
  readonly adminPort: number;
  readonly strict: boolean;
  readonly plainPorts: readonly number[];
  /** Where the kubelet's probes go, and from which addresses. */
  readonly probePorts: readonly number[];
  readonly nodeIps: readonly string[];
}

/** Every counter and what it counts. */
export const POD_MTLS_COUNTERS = {
  mtls_inbound: 'connections led to the proxy, towards the pod',
  mtls_plain_port: 'passed: a port that is left plain',
  mtls_probe: 'passed: the node, to a port that is probed',
  mtls_not_the_proxy: 'dropped: what a program says from the ports of the proxy, which is away',
  mtls_midstream: 'dropped: TCP to a Strict pod that was not led to the proxy',
  mtls_refused_other: 'refused: UDP and the like to a Strict pod',
  mtls_passed_other: 'passed: UDP and the like to a Permissive pod',
} as const;

/** Without one nothing of ours is there. "add" first, so that "delete" cannot fail. */
export const POD_MTLS_REMOVAL = `add table ${POD_MTLS_TABLE}\ndelete table ${POD_MTLS_TABLE}\n`;

/** The whole table for `nft -f -`, in one transaction. */
export function podMtlsTable(capture: PodMtlsCapture): string {
  return [
    `${POD_MTLS_REMOVAL}table ${POD_MTLS_TABLE} {`,
    ...Object.keys(POD_MTLS_COUNTERS).map((name) => `  counter ${name} { }`),
    ...block('chain inbound', inbound(capture)),
    ...block('chain lock', lock(capture)),
    ...block('chain answers', answers(capture)),
    ...block('chain here', here(capture)),
    ...block('chain back', back()),
    '}',
    '',
  ].join('\n');
}

type Family = {readonly ip: 'ip' | 'ip6'; readonly here: string; readonly own: (ip: string) => boolean};
const FAMILIES: readonly Family[] = [
  {ip: 'ip', here: POD_MTLS.here.ip4, own: (ip) => !isV6(ip)},
  {ip: 'ip6', here: POD_MTLS.here.ip6, own: isV6},
];

/** What passes as it is, over TCP and the others. */
function plain({plainPorts, probePorts, nodeIps, adminPort}: PodMtlsCapture): string[] {
  const probes = FAMILIES.flatMap(({ip, own}) => {
    const from = nodeIps.filter(own);
    if (from.length === 0 || probePorts.length === 0) return [];
    return [`${ip} saddr { ${from.join(', ')} } tcp dport { ${probePorts.join(', ')} } counter name mtls_probe accept`];
  });
  return [
    `tcp dport ${adminPort} accept`,
    ...(plainPorts.length === 0
      ? []
      : [`meta l4proto { tcp, udp } th dport { ${plainPorts.join(', ')} } counter name mtls_plain_port accept`]),
    ...probes,
  ];
}

/** A connection meets nat chains once, with its first packet. */
function inbound(capture: PodMtlsCapture): string[] {
  const {first, last} = POD_MTLS.ports;
  return [
    'type nat hook prerouting priority dstnat; policy accept;',
    'iifname "lo" accept',
    ...plain(capture),
    `meta l4proto tcp counter name mtls_inbound redirect to :${first}-${last}`,
  ];
}

/** What the nat chain did not see (conntrack calls it invalid, or was emptied) reaches no program of a Strict pod. */
function lock(capture: PodMtlsCapture): string[] {
  const {first, last} = POD_MTLS.ports;
  return [
    'type filter hook input priority filter; policy accept;',
    'iifname "lo" accept',
    // Path MTU discovery and neighbours need it, and it carries nothing of a program's.
    'meta l4proto { icmp, icmpv6 } accept',
    // Nobody's address, and no way around the proxy's ports.
    ...FAMILIES.map(({ip, here: at}) => `${ip} daddr ${at} drop`),
    'ct state established,related ct direction reply accept',
    `tcp dport ${first}-${last} ct status dnat accept`,
    `tcp dport ${first}-${last} reject with tcp reset`,
    ...plain(capture),
    ...(capture.strict
      ? [
          'meta l4proto tcp counter name mtls_midstream drop',
          'counter name mtls_refused_other reject with icmpx admin-prohibited',
        ]
      : ['meta l4proto tcp accept', 'counter name mtls_passed_other accept']),
  ];
}

/**
 * Who is led to the proxy's ports is answered by the proxy, told by its user, or by the kernel, whose reset has none: while it is away a
 * program could listen there. conntrack gives answers their port back behind this hook.
 */
function answers({proxyUid}: PodMtlsCapture): string[] {
  const {first, last} = POD_MTLS.ports;
  const theirs = `meta skuid != ${proxyUid} tcp sport ${first}-${last}`;
  return [
    'type filter hook output priority filter; policy accept;',
    `oifname != "lo" ${theirs} counter name mtls_not_the_proxy drop`,
  ];
}

/** Before the capture's chain, which would lead it to the policy. */
function here({ips, proxyUid}: PodMtlsCapture): string[] {
  return [
    'type nat hook output priority -101; policy accept;',
    ...FAMILIES.flatMap(({ip, here: at, own}) => {
      const to = ips.find(own);
      return to === undefined ? [] : [`meta skuid ${proxyUid} ${ip} daddr ${at} dnat ${ip} to ${to}`];
    }),
  ];
}

/** By the mark the ip rule leads them to this namespace's own sockets. Packets of no socket (a reset) have no user: conntrack knows. */
function back(): string[] {
  const taken = marking({marks: DEFAULT_MARKS}).set(DEFAULT_MARKS.taken);
  return [
    'type route hook output priority mangle; policy accept;',
    ...FAMILIES.map(({ip, here: at}) => `ct direction reply ct original ${ip} daddr ${at} ${taken}`),
  ];
}
