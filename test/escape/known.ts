/** What is known to be open, with what is promised instead. Everything else that opens is a failure. */
export const KNOWN_OPEN: ReadonlyMap<string, string> = new Map([
  ['dns-tunnel', 'the named resolver may be asked anything: name one that filters'],
  ['dns-tunnel-tcp', 'the named resolver may be asked anything: name one that filters'],
  ['neighbour-arp', 'pods on one bridge have to find each other: ARP passes, with what is in it'],
  ['neighbour-discovery', 'pods on one bridge have to find each other: neighbour discovery passes, with what is in it'],
  ['paths-wide', 'look-alikes of slash and dot are characters like any other: a server that folds them needs a Deny'],
]);
