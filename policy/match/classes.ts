/** POLICY.md "Address classes": what an address may be reached by, and where this installation's own addresses are. */
import type {Installation} from '../documents.ts';
import {cidrHolds, cidrInside, embeddedIpv4, parseCidr, type Cidr, type Ip} from './addresses.ts';

export type AddressClass =
  /** No rule opens it. */
  | {readonly kind: 'never'; readonly why: string}
  /** Opened by a `cidrs` entry that holds it and lies inside `range`, the smallest special range that holds it. */
  | {readonly kind: 'special'; readonly range: Cidr; readonly why: string}
  /** Opened by a `cidrs` entry that holds it. */
  | {readonly kind: 'private'; readonly why: string}
  | {readonly kind: 'public'};

/** The installation's ranges, parsed once. */
export interface Ranges {
  readonly clusterDomain: string;
  readonly service: readonly Cidr[];
  readonly pod: readonly Cidr[];
  readonly node: readonly Cidr[];
  readonly nat64: readonly Cidr[];
  readonly ownPorts: ReadonlySet<number>;
  readonly searchDomains: readonly string[];
  /** Special ranges, the smallest first. */
  readonly special: readonly {readonly range: Cidr; readonly why: string}[];
  /** By the first octet of an IPv4 address: 0 where no range that is not public begins with it. */
  readonly notPublic: Uint8Array;
}

const list = (why: string, ...texts: string[]) => texts.map((text) => ({range: parseCidr(text)!, why}));

const NEVER = [
  ...list('unspecified', '0.0.0.0/8', '::/128'),
  ...list('loopback', '127.0.0.0/8', '::1/128'),
  ...list('a multicast address', '224.0.0.0/4', 'ff00::/8'),
  // RFC 1112 §4; it holds the limited broadcast address too.
  ...list('reserved', '240.0.0.0/4', '192.0.0.0/24'),
];

const LINK_LOCAL = list('link-local', '169.254.0.0/16', 'fe80::/10');

/** Instance metadata and credential services; each is a range of its own, so that nothing wider opens it. */
const METADATA = list(
  'a cloud metadata address',
  '169.254.169.254', // AWS, GCP, Azure, OpenStack, Oracle, DigitalOcean, ...
  'fd00:ec2::254', // AWS
  '169.254.170.2', // AWS ECS task credentials
  '169.254.170.23', // AWS EKS pod identity
  'fd00:ec2::23',
  'fd20:ce::254', // GCP
  'fe80::a9fe:a9fe', // OpenStack
  '168.63.129.16', // Azure WireServer
  '100.100.100.200', // Alibaba
  '169.254.0.23', // Tencent
);

const PRIVATE = [
  ...list('a private address', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'),
  ...list('a shared address', '100.64.0.0/10'),
  // RFC 3879: deprecated, and still routed inside sites.
  ...list('a site-local address', 'fec0::/10'),
];

const PUBLIC: AddressClass = {kind: 'public'};

const parsed = (texts: readonly string[]): Cidr[] =>
  texts.flatMap((text) => {
    const cidr = parseCidr(text);
    return cidr === null ? [] : [cidr];
  });

export function rangesOf(installation: Installation): Ranges {
  const node = parsed(installation.nodeCidrs);
  const special = [...METADATA, ...LINK_LOCAL, ...node.map((range) => ({range, why: "a node's own address"}))];
  const notPublic = new Uint8Array(256);
  for (const {range} of [...NEVER, ...PRIVATE, ...special]) {
    if (range.base.family !== 4) continue;
    const first = range.base.w3 >>> 24;
    const last = range.prefix >= 8 ? first : first + 2 ** (8 - range.prefix) - 1;
    notPublic.fill(1, first, last + 1);
  }
  const bits = ({range}: {range: Cidr}) => (range.base.family === 4 ? range.prefix + 96 : range.prefix);
  return {
    clusterDomain: installation.clusterDomain,
    service: parsed(installation.serviceCidrs),
    pod: parsed(installation.podCidrs),
    node,
    nat64: parsed(installation.nat64Prefixes).sort((a, b) => b.prefix - a.prefix),
    ownPorts: new Set(installation.ownPorts),
    searchDomains: installation.searchDomains,
    special: special.sort((a, b) => bits(b) - bits(a)),
    notPublic,
  };
}

export function anyHolds(cidrs: readonly Cidr[], ip: Ip): boolean {
  for (const cidr of cidrs) if (cidrHolds(cidr, ip)) return true;
  return false;
}

/** The class of the address itself; what it embeds is classified by itself (see embeddedIpv4). */
export function classify(ranges: Ranges, ip: Ip, port: number): AddressClass {
  if (ip.family === 4 && ranges.notPublic[ip.w3 >>> 24] === 0) return PUBLIC;
  for (const {range, why} of NEVER) if (cidrHolds(range, ip)) return {kind: 'never', why};
  if (ranges.ownPorts.has(port) && anyHolds(ranges.node, ip)) return {kind: 'never', why: 'our own port on a node'};
  for (const {range, why} of ranges.special) if (cidrHolds(range, ip)) return {kind: 'special', range, why};
  for (const {range, why} of PRIVATE) if (cidrHolds(range, ip)) return {kind: 'private', why};
  return PUBLIC;
}

/** Whether `cidrs` open an address of this class. `inCluster`: a name under the cluster domain at one of the cluster's addresses. */
function opens(kind: AddressClass, ip: Ip, cidrs: readonly Cidr[], inCluster: boolean): boolean {
  switch (kind.kind) {
    case 'never':
      return false;
    case 'special':
      for (const cidr of cidrs) if (cidrHolds(cidr, ip) && cidrInside(cidr, kind.range)) return true;
      return false;
    case 'private':
      return inCluster || anyHolds(cidrs, ip);
    case 'public':
      return true;
  }
}

/** Why the address may not be dialled by a rule with these `cidrs` (by class alone); null: it may. */
export function forbiddenBy(
  ranges: Ranges,
  ip: Ip,
  port: number,
  cidrs: readonly Cidr[],
  inCluster: boolean,
): string | null {
  const own = classify(ranges, ip, port);
  if (own.kind !== 'public' && !opens(own, ip, cidrs, inCluster)) return own.why;
  for (const inner of embeddedIpv4(ip, ranges.nat64)) {
    const kind = classify(ranges, inner, port);
    if (kind.kind !== 'public' && !opens(kind, inner, cidrs, false))
      return kind.kind === 'never' ? kind.why : `${kind.why} in an IPv6 form`;
  }
  return null;
}

/** Why not even an Audit policy lets the address be dialled (POLICY.md "Audit"); null: it may. */
export function forbiddenInAudit(ranges: Ranges, ip: Ip, port: number): string | null {
  for (const one of [ip, ...embeddedIpv4(ip, ranges.nat64)]) {
    const kind = classify(ranges, one, port);
    if (kind.kind === 'never' || kind.kind === 'special') return kind.why;
  }
  return null;
}

/** Whether a range of a Deny holds the address or one that it embeds. */
export function denyHolds(cidrs: readonly Cidr[], ip: Ip, embedded: readonly Ip[]): boolean {
  if (anyHolds(cidrs, ip)) return true;
  for (const inner of embedded) if (anyHolds(cidrs, inner)) return true;
  return false;
}
