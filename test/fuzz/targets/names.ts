/** Names, authorities and addresses, against the reference's regular expressions and ipaddr.js. */
import {cidrHolds, formatAddress, parseAddress, parseCidr, parseLooseIpv4} from '../../../policy/match/addresses.ts';
import {normalizeHost, parseAuthority, parseHostPattern} from '../../../policy/match/hosts.ts';
import {isAuthority} from '../../../tproxy/http1/index.ts';
import * as reference from '../../reference/texts.ts';
import {hold, same} from '../target.ts';
import type {Target} from '../target.ts';

function run(input: Buffer): string {
  const text = input.toString('latin1');
  const name = normalizeHost(text);
  same('the reference reads another name', name, reference.host(text));
  if (name !== null) same('a name in its normal form', normalizeHost(name), name);

  const authority = parseAuthority(text);
  const theirs = reference.authority(text);
  // ipaddr.js takes spellings of IPv4 that inet_aton does not (and the other way round); what both take must be one address.
  const spelled = authority?.literal !== null && !text.startsWith('[');
  if (!spelled && theirs?.literal !== true) same('the reference reads another authority', authority === null ? null : [authority.host, authority.port], theirs && [theirs.host, theirs.port]); // prettier-ignore
  if (authority !== null && theirs !== null) same('two authorities', [authority.host, authority.port], [theirs.host, theirs.port]); // prettier-ignore
  // The codec lets pass what may be an authority; what the policy reads of it is the same or nothing.
  if (authority !== null && text.length <= 260 && isAuthority(text, 0, text.length, 'optional')) {
    const again = authority.literal?.includes(':') === true ? `[${authority.host}]` : authority.host;
    same('an authority in its normal form', parseAuthority(again)?.host, authority.host);
  }

  const address = parseAddress(text);
  if (address !== null) {
    const canonical = formatAddress(address);
    same('an address in its normal form', formatAddress(parseAddress(canonical)!), canonical);
    if (text.includes(':')) same('URL reads another address', hexForm(text), hexForm(canonical));
    else same('ipaddr.js reads another address', reference.canonical(text), canonical);
    hold(cidrHolds(parseCidr(canonical)!, address), 'an address is not in its own range');
  }
  const loose = parseLooseIpv4(text);
  if (loose !== null) hold(normalizeHost(text) === null, 'a text is a name and an address');

  const cidr = parseCidr(text);
  if (cidr !== null && address !== null) hold(cidrHolds(cidr, address), 'an address is not in its own range');
  const pattern = parseHostPattern(text);
  if (pattern.ok) same('a pattern in its normal form', parseHostPattern(pattern.text), pattern);
  return [name !== null, authority === null ? '-' : authority.literal === null ? 'n' : authority.literal.includes(':') ? '6' : '4', authority?.port != null, address?.family ?? '-', loose !== null, cidr?.prefix ?? '-', pattern.ok ? pattern.pattern.kind : pattern.message].join(' '); // prettier-ignore
}

/** An IPv6 address as WHATWG URLs write it. */
const hexForm = (text: string): string => new URL(`http://[${text}]/`).hostname;

export const NAMES: Target = {
  name: 'names',
  reads: 'host names, authorities, addresses, patterns',
  covers: ['/policy/match/hosts', '/policy/match/addresses', '/tproxy/http1/target'],
  dictionary: ['.', ':', '[', ']', '@', '*', '*.', '/', '0x', '0X7f', '0177', '127.1', '10.0.0.0/8', '::', '::1', '::ffff:1.2.3.4', 'fe80::1%eth0', '2001:db8::/32', ':443', ':0', ':65536', ':00443', 'a.test', 'A.TEST.', 'xn--bcher-kva', '_x', '-', '255', '256', '4294967295', '1.2.3.4.5', 'a'.repeat(63), 'localhost', ' ', '\t', '%', '%61'], // prettier-ignore
  seeds: ['a.test', 'A.b.TEST.:443', '[2001:db8::1]:8080', '192.0.2.1', '0x7f.1', '10.0.0.0/8', '*.a.test', '::ffff:10.1.2.3'], // prettier-ignore
  maxBytes: 300,
  run,
};
