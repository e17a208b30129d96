/**
 * The addresses that Audit enforces (POLICY.md "Address classes": never reachable, link-local, metadata), as prefixes
 * for the kernel. policy/ judges connections with its own code; this list is for the packets that no proxy sees.
 */
import ipaddr from 'ipaddr.js';

/** Never reachable. */
const NEVER4 = ['0.0.0.0/8', '127.0.0.0/8', '192.0.0.0/24', '224.0.0.0/4', '240.0.0.0/4'];
/** Only by a rule that names them, and a packet that is not handed to us has no rule. */
const SPECIAL4 = ['169.254.0.0/16', '168.63.129.16/32', '100.100.100.200/32'];
const NEVER6 = ['::/128', '::1/128', 'ff00::/8'];
/** 2001::/32 is Teredo (RFC 4380), which hides an IPv4 address in inverted bits: no prefix of it can pass. */
const SPECIAL6 = ['fe80::/10', 'fd00:ec2::254/128', 'fd00:ec2::23/128', 'fd20:ce::254/128', '2001::/32'];

/** 64:ff9b::/96 is the well-known NAT64 prefix (RFC 6052); ::/96 and ::ffff:0:0/96 are the compatible and mapped forms, ::ffff:0:0:0/96 RFC 2765's. */
const EMBEDDING = ['64:ff9b::', '::', '::ffff:0:0', '::ffff:0:0:0'];
/** Local-use NAT64 (RFC 8215): how it embeds is the operator's choice, so none of it passes. */
const LOCAL_NAT64 = '64:ff9b:1::/48';

/** The prefixes by family, without overlaps (nft refuses two intervals that touch the same address). */
export function refusedPrefixes(
  nodeCidrs: readonly string[],
  nat64Prefixes: readonly string[],
): {readonly v4: readonly string[]; readonly v6: readonly string[]} {
  const v4 = withoutOverlaps([...NEVER4, ...SPECIAL4, ...nodeCidrs.filter((cidr) => !cidr.includes(':'))]);
  const prefixes = [
    ...EMBEDDING,
    ...nat64Prefixes.filter((cidr) => cidr.endsWith('/96')).map((cidr) => cidr.slice(0, -3)),
  ];
  const embedded = v4.flatMap((cidr) => [
    ...prefixes.map((prefix) => embed(prefix, 96, cidr)),
    embed('2002::', 16, cidr),
  ]);
  // An operator's prefix of another length puts the IPv4 address where one nft prefix cannot look: refused whole.
  const odd = nat64Prefixes.filter((cidr) => !cidr.endsWith('/96'));
  const nodes = nodeCidrs.filter((cidr) => cidr.includes(':'));
  return {v4, v6: withoutOverlaps([...NEVER6, ...SPECIAL6, LOCAL_NAT64, ...odd, ...nodes, ...embedded])};
}

/** The IPv6 prefix whose bits after `at` are those of the IPv4 prefix. */
function embed(prefix: string, at: 16 | 96, cidr: string): string {
  const [address, length] = ipaddr.IPv4.parseCIDR(cidr);
  const bytes = ipaddr.IPv6.parse(prefix).toByteArray();
  bytes.splice(at / 8, 4, ...address.toByteArray());
  return `${new ipaddr.IPv6(bytes).toRFC5952String()}/${at + length}`;
}

/** Drops prefixes that lie in another; keeps the order of the rest. */
function withoutOverlaps(cidrs: readonly string[]): string[] {
  const parsed = [...new Set(cidrs)].map((text) => {
    const [address, length] = ipaddr.parseCIDR(text);
    return {text: `${network(address, length)}/${length}`, address, length};
  });
  return parsed
    .filter(
      (one, i) =>
        !parsed.some(
          (other, j) =>
            i !== j &&
            (other.length < one.length || (other.length === one.length && j < i)) &&
            contains(other.address, other.length, one.address),
        ),
    )
    .map((one) => one.text);
}

function network(address: ipaddr.IPv4 | ipaddr.IPv6, length: number): string {
  const bytes = address
    .toByteArray()
    .map((byte, i) => byte & (0xff << Math.min(8, Math.max(0, 8 * (i + 1) - length))) & 0xff);
  return address.kind() === 'ipv4' ? new ipaddr.IPv4(bytes).toString() : new ipaddr.IPv6(bytes).toRFC5952String();
}

function contains(prefix: ipaddr.IPv4 | ipaddr.IPv6, length: number, address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return prefix.kind() === address.kind() && address.match(prefix, length);
}
