/** Where everything is in the escape world. */

/** Sites outside: NAME.test and every name under it resolve there. */
export const SITES = {
  /** https, below /public/ only. */
  allowed: '203.0.113.10',
  /** http, below /public/ only. */
  plain: '203.0.113.11',
  /** https, any name under it. */
  wild: '203.0.113.12',
  /** `tls`: passed through by SNI. */
  pass: '203.0.113.13',
  /** `tcp` on port 9000. */
  opaque: '203.0.113.14',
  /** https with mutations. */
  mutated: '203.0.113.15',
  /** No rule. */
  evil: '203.0.113.66',
  /** WebSockets, until a policy change takes them away. */
  socket: '203.0.113.17',
} as const;
export const RESOLVER = '9.9.9.9';
export const OTHER_RESOLVER = {4: '198.51.100.53', 6: '2001:db8::53'} as const;
/** An address that no name has and no rule holds. */
export const EVIL = {4: SITES.evil, 6: '2001:db8::66'} as const;
export const METADATA = '169.254.169.254';
export const NODE_IP4 = '10.78.0.1';
export const NODE_IP6 = 'fd78::1';
/** A Service with a pod behind it, one with the metadata server behind it, and a NodePort of the first. */
export const SERVICE = '10.96.0.10';
export const SERVICE_OF_METADATA = '10.96.0.66';
export const NODE_PORT = 30080;
/** What the internet answers for: every address in these. */
export const OUTSIDE = [
  '203.0.113.0/24',
  '198.51.100.0/24',
  '192.0.2.0/24',
  '10.200.0.0/16',
  '100.64.0.0/10',
  '169.254.170.2/32',
  '192.168.0.0/16',
  `${METADATA}/32`,
  '168.63.129.16/32',
  '2001:db8::/32',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '2002::/16',
  '2001::/32',
  'fd00:ec2::/32',
  'fd20:ce::/64',
] as const;
/** What stands in for the explicit port where a control has none: it hears everything. */
export const OPEN_PROXY = '203.0.113.99';
