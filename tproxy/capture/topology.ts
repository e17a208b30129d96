/** Where members are plugged in: from the node's links and routes. */
import {SallyportError} from '../../runtime/errors.ts';
import {mustRun, type Commands} from './commands.ts';
import type {Bridge, Member, PlacedMember} from './config.ts';
import type {Links} from './lingering.ts';
import {familyOf} from './sockaddr.ts';

interface Link {
  readonly ifname: string;
  readonly address?: string;
  readonly master?: string;
  readonly linkinfo?: {readonly info_kind?: string};
}

export interface Places {
  readonly members: readonly PlacedMember[];
  readonly bridges: readonly Bridge[];
  /** What there is, with members or without. */
  readonly links: Links;
}

/** Asks the kernel. Two short programs, however many members. */
export async function place(commands: Commands, members: readonly Member[]): Promise<Places> {
  for (const {ip, interface: name} of members) {
    familyOf(ip);
    if (name !== null) requireInterfaceName(name);
  }
  const asked = members.filter((member) => member.interface === null).map((member) => member.ip);
  // Side by side: a pod waits for both.
  const [links, found] = await Promise.all([
    mustRun(commands, ['ip', '-d', '-j', 'link', 'show']),
    asked.length === 0 ? new Map<string, string>() : routes(commands, asked),
  ]);
  return placed(members, JSON.parse(links) as Link[], found);
}

/** The interface that the route to each address names; absent where it leads through another router, or nowhere. */
async function routes(commands: Commands, ips: readonly string[]): Promise<Map<string, string>> {
  const lines = ips.map((ip) => `route get ${ip}\n`).join('');
  // -force: an unreachable address makes the status 1 and is simply not in the answer.
  const {stdout} = await commands.run(['ip', '-force', '-batch', '-'], lines);
  return parseRoutes(stdout);
}

/** `10.0.0.5 dev veth1 src 10.0.0.1 uid 0`, one address a line. Lines that begin with "local" are the node itself. */
export function parseRoutes(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    const dev = words.indexOf('dev');
    // "via": not on a link of this node, so not a pod of this node.
    if (dev < 0 || words.includes('via') || words[0] === 'local' || words[dev + 1] === 'lo') continue;
    found.set(words[0]!, words[dev + 1]!);
  }
  return found;
}

/** Pure. */
export function placed(
  members: readonly Member[],
  links: readonly Link[],
  routes: ReadonlyMap<string, string>,
): Places {
  const bridgeLinks = new Map(
    links.filter((link) => link.linkinfo?.info_kind === 'bridge').map((link) => [link.ifname, link]),
  );
  const masters = new Map(links.flatMap((link) => (link.master === undefined ? [] : [[link.ifname, link.master]])));
  const used = new Set<string>();
  const result = members.map(({ip, mode, uid, interface: given}): PlacedMember => {
    const name = given ?? routes.get(ip) ?? null;
    const master = name === null ? undefined : masters.get(name);
    if (master !== undefined && bridgeLinks.has(master)) {
      if (mode !== 'free') used.add(master);
      return {ip, mode, uid, interface: master, port: name};
    }
    if (name !== null && mode !== 'free' && bridgeLinks.has(name)) used.add(name);
    return {ip, mode, uid, interface: name, port: null};
  });
  const bridges = [...used].sort().map((name) => ({
    name,
    mac: bridgeLinks.get(name)!.address ?? '',
    ports: links.filter((link) => link.master === name).map((link) => link.ifname),
  }));
  const names = new Set(links.map(({ifname}) => ifname));
  return {members: result, bridges, links: {names, bridges: new Set(bridgeLinks.keys())}};
}

/** What the kernel takes as a name, less what nft would read as something else. Throws SallyportError `InterfaceInvalid`. */
export function requireInterfaceName(name: string): void {
  if (/^[A-Za-z0-9_.:@~+-]{1,15}$/.test(name)) return;
  throw new SallyportError(
    'InterfaceInvalid',
    `${JSON.stringify(name)} is no interface name`,
    'Write the name that "ip link" shows on the node, at most 15 characters; without it the route decides.',
  );
}

/**
 * TPROXY gives a packet its socket in prerouting; where br_netfilter runs prerouting inside the bridge, ip_rcv() drops
 * the socket again and every connection is refused. Throws SallyportError `BridgeNetfilter` for such a bridge.
 */
export async function refuseBridgeNetfilter(commands: Commands, bridges: readonly Bridge[]): Promise<void> {
  if (bridges.length === 0) return;
  const shown = await commands.run(['cat', ...BRIDGE_NETFILTER.map((name) => `/proc/sys/net/bridge/${name}`)]);
  if (!shown.stdout.split('\n').includes('1')) return;
  throw new SallyportError(
    'BridgeNetfilter',
    `captured pods are on the bridge ${bridges[0]!.name}, and br_netfilter is on: TPROXY cannot work there`,
    `Capture by redirect, or, where nothing else needs it, set ${BRIDGE_NETFILTER.map((name) => `net.bridge.${name}`).join(' and ')} to 0.`,
  );
}

const BRIDGE_NETFILTER = ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables'];
