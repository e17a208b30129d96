/**
 * mTLS on a node as a table of its own, beside the capture's. Pure.
 *
 * The way of a packet, behind kube-proxy's translation (so that a ClusterIP is a pod by then):
 *   1. what the capture took, and answers to our own dials, are the capture's
 *   2. answers pass, but those of connections in plain that were open before a pod was Strict
 *   3. an enrolled pod's address from another interface than its own is dropped
 *   4. towards an enrolled pod of this node: TCP to the mTLS listener, which unwraps; from pods of this node it passes
 *   5. from an enrolled pod of this node to one elsewhere: TCP to the same listener, which wraps
 *   6. of other protocols with ports, what touches a Strict pod is refused, the rest counted
 *   7. towards addresses of a Strict CIDR that nobody is known to have: dropped, until somebody is
 *
 * What the relay dials for a held pod is wrapped by the relay: to the address that the pod named, or to a pod behind the Service.
 * Where it does not know where an address leads (a load balancer's, say), kube-proxy makes a pod's of it afterwards: what then
 * touches a Strict pod in plain is refused behind it.
 */
import {isV6} from '../../capture/config.ts';
import {hex, marking, type Marks} from '../../capture/marks.ts';
import {setChanges, type Sets} from '../../capture/elements.ts';
import {block, declareSets} from '../../capture/tables.ts';
import {asNodeMark, MTLS_ZONE, mtlsMark} from './marks.ts';

export const MTLS_TABLE = 'inet sallyport_mtls';

const REFUSED_OTHER = 'counter name mtls_refused_other reject with icmpx admin-prohibited';

/** One enrolled address. */
export interface MtlsMember {
  readonly ip: string;
  /** Where this node sees its packets arrive; null: it is on another node, or no route leads to it. */
  readonly interface: string | null;
  readonly here: boolean;
  readonly strict: boolean;
  /** Ports there that are left plain. */
  readonly plainPorts: readonly number[];
}

export interface MtlsCapture {
  readonly members: readonly MtlsMember[];
  /** Addresses that are known and not enrolled: they pass, also in a Strict CIDR. */
  readonly others: readonly string[];
  /** Whose addresses get and send nothing before they are known. */
  readonly strictCidrs: readonly string[];
  readonly port: number;
  readonly marks: Marks;
}

/** Every counter and what it counts, in packets. */
export const MTLS_COUNTERS = {
  mtls_inbound: 'handed to the mTLS listener, towards a pod of this node',
  mtls_outbound: 'handed to the mTLS listener, from a pod of this node',
  mtls_same_node: 'passed: from an enrolled pod of this node to another one of it',
  mtls_plain_port: 'passed: a port that is left plain',
  mtls_away: 'dropped: the mTLS listener is away, and one of both is Strict',
  mtls_away_passed: 'passed plain: the mTLS listener is away, and both are Permissive',
  mtls_midstream: 'dropped: a connection to or from a Strict pod that was open before, or not seen opening',
  mtls_refused_other: 'refused: UDP and the like to or from a Strict pod',
  mtls_passed_other: 'passed: UDP and the like between Permissive pods',
  mtls_spoofed:
    'dropped: the address of an enrolled pod of this node, from where that is not plugged in (or not yet known to be)',
  mtls_unwrapped: 'refused: what the relay dialled for a held pod, in plain, to or from a Strict pod',
  mtls_unknown: 'dropped: an address of a Strict CIDR that nobody is known to have',
} as const;

/** The whole table, replaced in one transaction. */
export function mtlsTable(capture: MtlsCapture): string {
  return [
    MTLS_REMOVAL,
    `table ${MTLS_TABLE} {`,
    ...Object.keys(MTLS_COUNTERS).map((name) => `  counter ${name} { }`),
    ...declareSets(mtlsSets(capture), setType),
    ...block('chain zone_in', [
      'type filter hook prerouting priority raw; policy accept;',
      `meta l4proto tcp socket mark & ${hex(capture.marks.mask)} == ${hex(mtlsMark(capture.marks))} ct zone set ${MTLS_ZONE}`,
    ]),
    ...block('chain zone_out', [
      'type filter hook output priority raw; policy accept;',
      `${marking(capture).is(mtlsMark(capture.marks))} ct zone set ${MTLS_ZONE}`,
    ]),
    ...block('chain output', output(capture)),
    ...block('chain relayed', relayed(capture)),
    ...block('chain prerouting', prerouting(capture)),
    ...block('chain replies', replies()),
    ...block('chain stale', ['meta l4proto tcp counter name mtls_midstream drop', REFUSED_OTHER]),
    ...block('chain inbound', inbound(capture)),
    ...block('chain outbound', outbound(capture)),
    '}',
    '',
  ].join('\n');
}

/** Everything of ours removed. "add" first, so that "delete" cannot fail. */
export const MTLS_REMOVAL = `add table ${MTLS_TABLE}\ndelete table ${MTLS_TABLE}\n`;

/** What changes the sets of `before` to those of `after`. */
export const mtlsChanges = (before: MtlsCapture, after: MtlsCapture): string[] =>
  setChanges(MTLS_TABLE, mtlsSets(before), mtlsSets(after));

function mtlsSets({members, others, strictCidrs}: MtlsCapture): Sets {
  const sets = new Map<string, Set<string>>();
  for (const name of ['from', 'here', 'away', 'strict', 'plain', 'known', 'closed'])
    for (const family of ['4', '6']) sets.set(name + family, new Set());
  const add = (name: string, ip: string, element = ip): void =>
    void sets.get(name + (isV6(ip) ? '6' : '4'))!.add(element);
  for (const {ip, interface: name, here, strict, plainPorts} of members) {
    add('known', ip);
    add(here ? 'here' : 'away', ip);
    if (here && name !== null) add('from', ip, `"${name}" . ${ip}`);
    if (strict) add('strict', ip);
    for (const port of plainPorts) add('plain', ip, `${ip} . ${port}`);
  }
  for (const ip of others) add('known', ip);
  for (const cidr of strictCidrs) add('closed', cidr);
  return sets;
}

function setType(name: string): string {
  const address = name.endsWith('6') ? 'ipv6_addr' : 'ipv4_addr';
  switch (name.slice(0, -1)) {
    case 'from':
      return `ifname . ${address}`;
    case 'plain':
      return `${address} . inet_service`;
    case 'closed':
      return `${address}; flags interval; auto-merge`;
    default:
      return address;
  }
}

/** Both families of a rule: `ip` and its sets' `4`, `ip6` and `6`. */
const both = (rule: (ip: 'ip' | 'ip6', set: '4' | '6') => string): string[] => [rule('ip', '4'), rule('ip6', '6')];

/** By the capture's mark of the connection its answers come back to our socket (`table inet sallyport`). */
function output({marks}: MtlsCapture): string[] {
  const {mask, dialled} = marks;
  return [
    'type route hook output priority mangle; policy accept;',
    `${marking({marks}).is(mtlsMark(marks))} ct state new ct mark set ct mark & ${hex(~mask >>> 0)} | ${hex(dialled)}`,
  ];
}

/** Every packet of what is dialled plain for a held pod, behind kube-proxy's translation (nat output, -100). */
function relayed(capture: MtlsCapture): string[] {
  const refused = 'meta l4proto tcp counter name mtls_unwrapped reject with tcp reset';
  const {mask, dialled} = capture.marks;
  const [strict, other] = [asNodeMark(capture.marks, 'strict'), asNodeMark(capture.marks, 'other')];
  return [
    'type filter hook output priority filter; policy accept;',
    `meta mark & ${hex(mask)} != { ${[dialled, strict, other].map(hex).join(', ')} } accept`,
    ...both((ip, set) => `meta l4proto tcp ${ip} daddr . th dport @plain${set} accept`),
    // As inbound(): of two enrolled pods of one node nothing is on a wire.
    ...both((ip, set) => `${ip} saddr @here${set} ${ip} daddr @here${set} accept`),
    ...both((ip, set) => `${ip} daddr @strict${set} ${refused}`),
    ...both((ip, set) => `${ip} saddr @here${set} ${ip} saddr @strict${set} ${ip} daddr @away${set} ${refused}`),
    ...both((ip, set) => `${marking(capture).is(strict)} ${ip} daddr @away${set} ${refused}`),
    ...both((ip, set) => `${ip} daddr @closed${set} ${ip} daddr != @known${set} counter name mtls_unknown drop`),
  ];
}

/** dstnat is -100. */
function prerouting(capture: MtlsCapture): string[] {
  return [
    'type filter hook prerouting priority dstnat + 10; policy accept;',
    'iifname "lo" accept',
    `${marking(capture).is(capture.marks.taken)} accept`,
    'ct direction reply goto replies',
    // Forged, or its place is not known yet: what a Strict pod sends is wrapped or not sent.
    ...both((ip, set) => `${ip} saddr @here${set} iifname . ${ip} saddr != @from${set} counter name mtls_spoofed drop`),
    ...both((ip, set) => `${ip} daddr @here${set} goto inbound`),
    ...both((ip, set) => `iifname . ${ip} saddr @from${set} ${ip} daddr @away${set} goto outbound`),
    ...both((ip, set) => `${ip} daddr @closed${set} ${ip} daddr != @known${set} counter name mtls_unknown drop`),
  ];
}

/**
 * conntrack knows what was open before a pod was Strict, and calls its packets answers as ever: without this the pod would go on to
 * say and hear in plain what it began so. Of what is opened since, a Strict pod answers ports that are left plain, its node, and pods
 * beside it; pods that are not enrolled answer it; all else is between our own sockets, which have a mark.
 */
function replies(): string[] {
  return [
    NEEDED,
    ...both((ip, set) => `meta l4proto { tcp, udp } ${ip} saddr . th sport @plain${set} accept`),
    'fib daddr type local accept',
    ...both((ip, set) => `iifname . ${ip} saddr @from${set} ${ip} daddr @here${set} accept`),
    ...both((ip, set) => `${ip} saddr @here${set} ${ip} saddr @strict${set} goto stale`),
    // Of ours alone: two of others that this node forwards, or that wrap for themselves on it, are none of its business.
    ...both((ip, set) => `${ip} saddr @away${set} ${ip} daddr @here${set} ${ip} daddr @strict${set} goto stale`),
    ...both((ip, set) => `${ip} saddr @away${set} ${ip} saddr @strict${set} ${ip} daddr @here${set} goto stale`),
  ];
}

const NEEDED = 'meta l4proto { icmp, icmpv6 } accept';

function inbound(capture: MtlsCapture): string[] {
  return [
    // What does not leave the node is on no wire, and interface and address say who it is.
    ...both((ip, set) => `iifname . ${ip} saddr @from${set} counter name mtls_same_node accept`),
    ...both(
      (ip, set) => `meta l4proto { tcp, udp } ${ip} daddr . th dport @plain${set} counter name mtls_plain_port accept`,
    ),
    NEEDED,
    ...take(capture, 'mtls_inbound'),
    ...refuseStrict(['daddr']),
  ];
}

function outbound(capture: MtlsCapture): string[] {
  return [
    ...both(
      (ip, set) => `meta l4proto { tcp, udp } ${ip} daddr . th dport @plain${set} counter name mtls_plain_port accept`,
    ),
    NEEDED,
    ...take(capture, 'mtls_outbound'),
    ...refuseStrict(['saddr', 'daddr']),
  ];
}

/** TCP: what begins, and what is our listener's already. Where nothing listens, tproxy does not match. */
function take(capture: MtlsCapture, counter: keyof typeof MTLS_COUNTERS): string[] {
  const taken = `${marking(capture).set(capture.marks.taken)} counter name ${counter} accept`;
  return [
    `meta l4proto tcp socket transparent 1 ${taken}`,
    ...both(
      (ip) =>
        `meta nfproto ${ip === 'ip' ? 'ipv4' : 'ipv6'} tcp flags & (fin | syn | rst | ack) == syn tproxy ${ip} to :${capture.port} ${taken}`,
    ),
  ];
}

/** What was not taken and touches a Strict pod is not let by; the rest is counted and passes. */
function refuseStrict(ends: readonly ('saddr' | 'daddr')[]): string[] {
  const strict = (rest: string): string[] =>
    ends.flatMap((end) => both((ip, set) => `${ip} ${end} @strict${set} ${rest}`));
  const opening = 'tcp flags & (fin | syn | rst | ack) == syn';
  return [
    ...strict(`${opening} counter name mtls_away drop`),
    ...strict('meta l4proto tcp counter name mtls_midstream drop'),
    `${opening} counter name mtls_away_passed accept`,
    'meta l4proto tcp accept',
    ...strict(REFUSED_OTHER),
    'counter name mtls_passed_other accept',
  ];
}
