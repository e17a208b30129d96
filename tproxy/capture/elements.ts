/** Members as elements of the ruleset's sets. Pure. */
import {isShut, isV6, type Capture, type PlacedMember} from './config.ts';

/** A set's contents, as nft writes elements: `"p-web" . 10.0.0.1`. */
export type Sets = ReadonlyMap<string, ReadonlySet<string>>;

/** What follows a change of members without touching the rules: nft statements, and nothing where nothing changed. */
export function setChanges(table: string, before: Sets, after: Sets): string[] {
  const statements: string[] = [];
  for (const [name, wanted] of after) {
    const had = before.get(name) ?? new Set<string>();
    const gone = [...had].filter((element) => !wanted.has(element));
    const added = [...wanted].filter((element) => !had.has(element));
    // All in one transaction, so the order is only one of reading.
    if (added.length > 0) statements.push(`add element ${table} ${name} { ${added.join(', ')} }`);
    if (gone.length > 0) statements.push(`delete element ${table} ${name} { ${gone.join(', ')} }`);
  }
  return statements;
}

const keyed = (name: string, ip: string): string => `"${name}" . ${ip}`;

/** The sets of `table inet sallyport`. */
export function inetSets({members, bridges, podCidrs}: Capture): Map<string, Set<string>> {
  const sets = new Map<string, Set<string>>();
  const set = (name: string): Set<string> => {
    const made = sets.get(name) ?? new Set<string>();
    sets.set(name, made);
    return made;
  };
  for (const name of ['captured', 'locked', 'sidecar', 'free', 'addresses', 'pods'])
    for (const family of ['4', '6']) set(name + family);
  for (const cidr of podCidrs) set(`pods${isV6(cidr) ? '6' : '4'}`).add(cidr);
  const closed = set('closed_interfaces');
  for (const member of members) {
    const family = isV6(member.ip) ? '6' : '4';
    if (member.mode !== 'free') set(`addresses${family}`).add(member.ip);
    if (member.interface === null) continue;
    const key = keyed(member.interface, member.ip);
    if (member.mode === 'free') {
      set(`free${family}`).add(key);
      continue;
    }
    set(`captured${family}`).add(key);
    if (isShut(member.mode)) set(`locked${family}`).add(key);
    if (member.mode === 'sidecar') set(`sidecar${family}`).add(key);
    if (ownsInterface(member, members, bridges)) closed.add(`"${member.interface}"`);
  }
  return sets;
}

/**
 * Whether the interface may carry its members' addresses only. A veth is one pod's. A bridge also carries pods that
 * are not ours, if each member is held at its own port (table bridge); where a port is not known, a foreign source
 * could be a member's, so the whole bridge is closed to them.
 */
function ownsInterface(member: PlacedMember, members: readonly PlacedMember[], bridges: Capture['bridges']): boolean {
  if (!bridges.some((bridge) => bridge.name === member.interface)) return true;
  return members.some((other) => other.interface === member.interface && other.mode !== 'free' && other.port === null);
}

/** The sets of `table bridge sallyport`; each bridge has its own, numbered in order. */
export function bridgeSets({members, bridges}: Capture): Map<string, Set<string>> {
  const sets = new Map<string, Set<string>>();
  bridges.forEach((bridge, n) => {
    const ports = new Set<string>();
    const keyed4 = new Set<string>();
    const keyed6 = new Set<string>();
    const addresses4 = new Set<string>();
    const addresses6 = new Set<string>();
    const plugged4 = new Set<string>();
    const plugged6 = new Set<string>();
    const portsOfMembers = new Set<string>();
    for (const member of members) {
      if (member.mode === 'free') continue;
      if (member.interface !== bridge.name) {
        // An interface that is named before it is there: should it become a port, it is one of a member's from the start.
        if (member.interface !== null && !bridges.some(({name}) => name === member.interface)) {
          ports.add(`"${member.interface}"`);
          portsOfMembers.add(`"${member.interface}"`);
          (isV6(member.ip) ? keyed6 : keyed4).add(keyed(member.interface, member.ip));
        }
        continue;
      }
      (isV6(member.ip) ? addresses6 : addresses4).add(member.ip);
      if (member.port === null) {
        // Which port is not known: all of them are led through the rules.
        for (const port of bridge.ports) ports.add(`"${port}"`);
        continue;
      }
      ports.add(`"${member.port}"`);
      portsOfMembers.add(`"${member.port}"`);
      (isV6(member.ip) ? keyed6 : keyed4).add(keyed(member.port, member.ip));
      (isV6(member.ip) ? plugged6 : plugged4).add(member.ip);
    }
    sets.set(`routed_ports_${n}`, ports);
    sets.set(`known_ports_${n}`, portsOfMembers);
    sets.set(`ports4_${n}`, keyed4);
    sets.set(`ports6_${n}`, keyed6);
    sets.set(`plugged4_${n}`, plugged4);
    sets.set(`plugged6_${n}`, plugged6);
    sets.set(`addresses4_${n}`, addresses4);
    sets.set(`addresses6_${n}`, addresses6);
  });
  return sets;
}
