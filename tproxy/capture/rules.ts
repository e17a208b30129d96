/**
 * The chains of `table inet sallyport`, rule by rule. Pure. ruleset.ts says in which order a packet meets them.
 */
import type {CaptureConfig} from './config.ts';
import {hex, marking} from './marks.ts';
import {familyOf} from './sockaddr.ts';
import type {Counter} from './tables.ts';

/** Every chain by name. */
export function chains(config: CaptureConfig): readonly (readonly [name: string, rules: readonly string[]])[] {
  return [
    ['prerouting', prerouting(config)],
    ['pod', pod(config)],
    ['sidecar', sidecar(config)],
    ['out_of_the_mesh', outOfTheMesh(config)],
    ['elsewhere', elsewhere(config)],
    ['lock', LOCK],
    ['audit', AUDIT],
    ['stranger', stranger(config)],
    ['keep_destination', keepDestination(config)],
    ['forward', forward(config)],
    ['input', input(config)],
    ['output', output(config)],
    ['redirected', redirected(config)],
  ];
}

/** `verdict` for packets of a set's members, of either family. */
const ofMembers = (set: string, verdict: string): string[] => [
  `iifname . ip saddr @${set}4 ${verdict}`,
  `iifname . ip6 saddr @${set}6 ${verdict}`,
];

/** Interface patterns as one nft match; null where there are none. */
function podInterfaces({podInterfaces: patterns}: CaptureConfig): string | null {
  return patterns.length === 0 ? null : `iifname { ${patterns.map((pattern) => `"${pattern}"`).join(', ')} }`;
}

/** Priority mangle, -150: after defragmentation (-400) and conntrack (-200), before kube-proxy's DNAT (-100). */
function prerouting(config: CaptureConfig): string[] {
  const mark = marking(config);
  const {taken, dialled, passed, mask} = config.marks;
  const patterns = podInterfaces(config);
  return [
    'type filter hook prerouting priority mangle; policy accept;',
    // Only this machine's own packets come from lo: a pod's arrive by its interface.
    'iifname "lo" accept',
    // A mark does not cross a veth, but another table's rule could have left one that means something here.
    `meta mark & ${hex(mask)} { ${[taken, dialled, passed].map(hex).join(', ')} } ${mark.clear}`,
    ...ofMembers('sidecar', 'goto sidecar'),
    ...ofMembers('captured', 'goto pod'),
    // A member's address from where it is not plugged in: forged, or the pod has moved and its place is not known yet.
    'ip saddr @addresses4 counter name spoofed drop',
    'ip6 saddr @addresses6 counter name spoofed drop',
    'iifname @closed_interfaces goto stranger',
    ...(patterns === null && !config.lockPodAddresses ? [] : ofMembers('free', 'goto elsewhere')),
    ...(patterns === null ? [] : [`${patterns} goto stranger`]),
    ...(config.lockPodAddresses ? ['ip saddr @pods4 goto stranger', 'ip6 saddr @pods6 goto stranger'] : []),
    'goto elsewhere',
  ];
}

/** What comes from no member: other pods, the network. */
function elsewhere(config: CaptureConfig): string[] {
  const {taken, dialled, mask} = config.marks;
  return [
    // Back to the socket that dialled with a pod's address, however kube-proxy and masquerading changed the packet.
    `ct direction reply ct mark & ${hex(mask)} == ${hex(dialled)} ${marking(config).set(taken)} counter name dialled_replies accept`,
    // conntrack picks up connections in the middle; one that a pod opened earlier would come back as one opened towards it.
    ...['ip daddr @addresses4', 'ip6 daddr @addresses6'].map(
      (to) =>
        `${to} meta l4proto tcp ct state new tcp flags & (fin | syn | rst | ack) != syn counter name midstream drop`,
    ),
  ];
}

/** What passes of any member: answers, and what a network needs to work. */
function needful(config: CaptureConfig): string[] {
  const mark = marking(config);
  const {taken, dialled, passed, mask} = config.marks;
  const pass = (counter: Counter): string => `${mark.set(passed)} counter name ${counter} accept`;
  return [
    // One pod answering what was dialled with another's address: to our socket, not to that pod.
    `ct direction reply ct mark & ${hex(mask)} == ${hex(dialled)} ${mark.set(taken)} counter name dialled_replies accept`,
    // Kubelet probes, port-forward, Services: opened towards the pod. ICMP errors about such a connection are "related".
    `ct state established,related ct direction reply ${pass('replies')}`,
    ...config.resolvers.flatMap(({ip, port}) =>
      ['udp', 'tcp'].map(
        (protocol) => `${familyOf(ip) === 4 ? 'ip' : 'ip6'} daddr ${ip} ${protocol} dport ${port} ${pass('dns')}`,
      ),
    ),
    ...neighbourDiscovery(pass('neighbours')),
  ];
}

/** A pod whose connections its own sidecar judges: to the mesh over TCP, and nowhere else. */
function sidecar(config: CaptureConfig): string[] {
  const pass = `${marking(config).set(config.marks.passed)} counter name mesh accept`;
  return [
    ...needful(config),
    ...toTheMesh(config, pass),
    'counter name mesh_refused reject with icmpx admin-prohibited',
  ];
}

function toTheMesh({meshDestinations}: CaptureConfig, verdict: string): string[] {
  return meshDestinations.map(({cidr, port}) => {
    const where = `${cidr.includes(':') ? 'ip6' : 'ip'} daddr ${cidr}`;
    return `${where} ${port === null ? 'meta l4proto tcp' : `tcp dport ${port}`} ${verdict}`;
  });
}

/** After DNAT: a Service of the mesh is none where its endpoint is not of the mesh (the API server's is a node). */
function outOfTheMesh(config: CaptureConfig): string[] {
  return [
    ...config.resolvers.map(({ip}) => `ct original ${familyOf(ip) === 4 ? 'ip' : 'ip6'} daddr ${ip} return`),
    ...toTheMesh(config, 'return'),
    'counter name mesh_refused drop',
  ];
}

const translatedOfSidecars = ['ip', 'ip6'].map(
  (family) =>
    `iifname . ${family} saddr @sidecar${family === 'ip' ? '4' : '6'} ct direction original ct status dnat meta l4proto tcp jump out_of_the_mesh`,
);

function pod(config: CaptureConfig): string[] {
  const mark = marking(config);
  const {taken} = config.marks;
  return [
    ...needful(config),
    ...(config.explicitPort === null
      ? []
      : [
          // Marked as taken: it may end here and nowhere else, whatever a Service with this node's address says.
          `fib daddr type local tcp dport ${config.explicitPort} ${mark.set(taken)} counter name explicit accept`,
        ]),
    ...take(config),
    ...ofMembers('locked', 'goto lock'),
    'goto audit',
  ];
}

/** Hands TCP over. Where nothing listens, tproxy does not match and the packet goes on to the lock. */
function take(config: CaptureConfig): string[] {
  const mark = marking(config);
  const taken = `${mark.set(config.marks.taken)} counter name taken accept`;
  // "transparent" of our sockets only, half-open ones too (with "wildcard" these would not match).
  // While all policies are Audit the wire is left as it was: what was open before goes on, until the pod is locked.
  const earlier = [
    `meta l4proto tcp socket transparent 1 ${taken}`,
    'iifname . ip saddr != @locked4 meta l4proto tcp ct state established goto audit',
    'iifname . ip6 saddr != @locked6 meta l4proto tcp ct state established goto audit',
  ];
  if (config.intercept === 'redirect')
    return [
      'iifname . ip saddr != @locked4 meta l4proto tcp ct state established ct status & dnat != dnat goto audit',
      'iifname . ip6 saddr != @locked6 meta l4proto tcp ct state established ct status & dnat != dnat goto audit',
      `meta l4proto tcp ${taken}`,
    ];
  return [
    ...earlier,
    ...['ip', 'ip6'].map(
      (family) =>
        `meta nfproto ${family === 'ip' ? 'ipv4' : 'ipv6'} meta l4proto tcp tproxy ${family} to :${config.capturedPort} ${taken}`,
    ),
  ];
}

/** TCP is dropped, not refused: while our listener is away an upgrade is a pause. The rest fails fast. */
const LOCK = [
  'meta l4proto tcp counter name listener_away drop',
  'meta l4proto udp counter name refused_udp reject with icmpx admin-prohibited',
  'meta l4proto { icmp, icmpv6 } counter name refused_icmp reject with icmpx admin-prohibited',
  'counter name refused_other reject with icmpx admin-prohibited',
];

/** Nothing is refused here but what POLICY.md enforces in Audit. */
const AUDIT = [
  'fib daddr type { local, broadcast, multicast, anycast } counter name audit_refused reject with icmpx admin-prohibited',
  'ip daddr @refused4 counter name audit_refused reject with icmpx admin-prohibited',
  'ip6 daddr @refused6 counter name audit_refused reject with icmpx admin-prohibited',
  'meta l4proto tcp counter name audit_tcp accept',
  'counter name audit_other accept',
];

/**
 * RFC 4861 messages that stay on the link: hop limit 255 and a link-scoped destination, or one of this node's own. To
 * any other address "neighbour solicitation" would be a way out. Multicast listener reports keep snooping bridges working.
 */
function neighbourDiscovery(verdict: string): string[] {
  const types = 'icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255';
  return [
    `${types} ip6 daddr { fe80::/10, ff02::/16 } ${verdict}`,
    `${types} fib daddr type local ${verdict}`,
    `icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } ip6 daddr ff02::/16 ${verdict}`,
  ];
}

/** A pod's interface with a source that is not the pod's. Neighbour discovery speaks from fe80::/10 and from ::. */
function stranger(config: CaptureConfig): string[] {
  const mark = marking(config);
  const pass = `${mark.set(config.marks.passed)} counter name neighbours accept`;
  return [
    ...neighbourDiscovery(pass).map((rule) => `ip6 saddr { ::, fe80::/10 } ${rule}`),
    'iifname @closed_interfaces counter name spoofed drop',
    'counter name unknown_pod drop',
  ];
}

/**
 * Before kube-proxy's nat chains (dstnat, -100). TPROXY: a translation to the address that is there already, since a
 * connection is translated once: our listener sees the ClusterIP, not the endpoint that kube-proxy would pick.
 */
function keepDestination(config: CaptureConfig): string[] {
  const taken = marking(config).is(config.marks.taken);
  const asItIs = (rule: string): string[] => [
    `${rule} meta nfproto ipv4 dnat ip to ip daddr`,
    `${rule} meta nfproto ipv6 dnat ip6 to ip6 daddr`,
  ];
  const head = 'type nat hook prerouting priority dstnat - 10; policy accept;';
  if (config.intercept === 'tproxy') return [head, ...asItIs(taken)];
  return [
    head,
    ...(config.explicitPort === null ? [] : asItIs(`${taken} fib daddr type local tcp dport ${config.explicitPort}`)),
    `${taken} meta l4proto tcp redirect to :${config.capturedPort}`,
  ];
}

function forward(config: CaptureConfig): string[] {
  const mark = marking(config);
  const notPassed = mark.isNot(config.marks.passed);
  return [
    'type filter hook forward priority filter - 10; policy accept;',
    ...ofMembers('locked', `${notPassed} counter name forward_dropped drop`),
    ...translatedOfSidecars,
    // After DNAT: a Service whose endpoint is a metadata server.
    `iifname . ip saddr @captured4 ${notPassed} ip daddr @refused4 counter name forward_dropped drop`,
    `iifname . ip6 saddr @captured6 ${notPassed} ip6 daddr @refused6 counter name forward_dropped drop`,
    'iifname @closed_interfaces iifname . ip saddr != @captured4 counter name forward_dropped drop',
    'iifname @closed_interfaces iifname . ip6 saddr != @captured6 counter name forward_dropped drop',
  ];
}

/**
 * Translated to our port: to whoever has a socket for it, of either kind. While nobody listens they are dropped and not refused,
 * as TPROXY's are: an upgrade is a pause.
 */
function toOurListener({capturedPort, explicitPort, ...config}: CaptureConfig): string[] {
  const ports = [capturedPort, explicitPort].filter((port) => port !== null).join(', ');
  const ours = `${marking(config).is(config.marks.taken)} tcp dport { ${ports} }`;
  return [
    `${ours} socket transparent 0 accept`,
    `${ours} socket transparent 1 accept`,
    `${ours} counter name listener_away drop`,
  ];
}

function input(config: CaptureConfig): string[] {
  const mark = marking(config);
  const {taken, passed} = config.marks;
  const own = [...config.closedPorts, config.capturedPort];
  const patterns = podInterfaces(config);
  return [
    'type filter hook input priority filter - 10; policy accept;',
    'iifname "lo" accept',
    ...(config.intercept === 'redirect' ? toOurListener(config) : [`${mark.is(taken)} accept`]),
    // Whoever names the captured port itself came by no rule of ours.
    `tcp dport ${config.capturedPort} counter name ports_closed drop`,
    ...ofMembers('captured', `tcp dport { ${own.join(', ')} } counter name ports_closed drop`),
    ...(config.explicitPort === null
      ? []
      : [
          ...(patterns === null ? [] : [`${patterns} tcp dport ${config.explicitPort} accept`]),
          // Pods that are told of the proxy and not held.
          ...ofMembers('free', `tcp dport ${config.explicitPort} accept`),
          `tcp dport ${config.explicitPort} counter name ports_closed drop`,
        ]),
    ...translatedOfSidecars,
    // Locked or Audit: the node's own addresses are nobody's destination, also behind a Service.
    ...ofMembers('captured', `${mark.isNot(passed)} counter name input_dropped drop`),
    `iifname @closed_interfaces ${mark.isNot(passed)} counter name input_dropped drop`,
  ];
}

/** Connections dialled with a pod's address: remembered in conntrack, and their replies from this machine kept here. */
function output(config: CaptureConfig): string[] {
  const mark = marking(config);
  const {taken, dialled, mask} = config.marks;
  return [
    'type route hook output priority mangle; policy accept;',
    `${mark.is(dialled)} ct state new ct mark set ct mark & ${hex(~mask >>> 0)} | ${hex(dialled)}`,
    // The same four numbers as a connection of the pod's own, which we took: its replies would be ours. Dropped, since a
    // reset would go to the pod.
    `${mark.is(dialled)} ct mark & ${hex(mask)} != ${hex(dialled)} counter name dial_collisions drop`,
    // The server is on this node: its reply would leave for the pod.
    `ct direction reply ct mark & ${hex(mask)} == ${hex(dialled)} ${mark.set(taken)}`,
  ];
}

/**
 * Behind kube-proxy's translation of what this machine sends: a Service that a rule allows, whose endpoint is a metadata
 * server, would have us fetch its credentials. An address that a rule names itself is not translated.
 */
function redirected(config: CaptureConfig): string[] {
  const ours = marking(config).is(config.marks.dialled);
  const refuse = 'ct status dnat counter name dial_redirected reject with icmpx admin-prohibited';
  return [
    'type filter hook output priority filter - 10; policy accept;',
    `${ours} ip daddr @special4 ${refuse}`,
    `${ours} ip6 daddr @special6 ${refuse}`,
  ];
}
