/**
 * The guard: a second, small table that only this process may change (`flags owner`), so that `nft flush ruleset` and
 * whoever deletes our tables leave it. It drops what the first table has not judged, and lives as long as its owner;
 * the first table outlives us, so one of the two is there at any time (docs/adr/0011). Pure.
 */
import type {Capture, CaptureConfig} from './config.ts';
import {bridgeSets, inetSets, setChanges, type Sets} from './elements.ts';
import {hex} from './marks.ts';
import {inetSetType} from './ruleset.ts';
import {NEIGHBOUR_DISCOVERY, unjudged} from './ruleset-bridge.ts';

export const GUARD_INET = 'inet sallyport_guard';
export const GUARD_BRIDGE = 'bridge sallyport_guard';
/** Counts what the guard dropped: packets that nobody else had judged. */
export const GUARD_COUNTER = 'guarded';

/** The sets of the first table that the guard knows too. */
const INET_SETS = [
  ...['captured', 'locked', 'addresses', 'free', 'pods'].flatMap((name) => [`${name}4`, `${name}6`]),
  'closed_interfaces',
];

/** What the owner says to begin with, or when the bridges have changed: one transaction, statements without line ends. */
export function guardRules(capture: Capture): string[] {
  return [
    ...table(GUARD_INET, guardSets(capture), inetSetType, 'prerouting', 'mangle + 1', inetRules(capture.config)),
    ...table(GUARD_BRIDGE, portSets(capture), () => 'ifname', 'forward', 'filter - 9', bridgeRules(capture)),
  ];
}

/** What follows a change of members. */
export function guardChanges(before: Capture, after: Capture): string[] {
  return [
    ...setChanges(GUARD_INET, guardSets(before), guardSets(after)),
    ...setChanges(GUARD_BRIDGE, portSets(before), portSets(after)),
  ];
}

function table(
  name: string,
  sets: Sets,
  type: (set: string) => string,
  hook: string,
  priority: string,
  rules: readonly string[],
): string[] {
  return [
    `add table ${name} { flags owner; }`,
    // It may be there: the bridges have changed, or the transaction is said again.
    `delete table ${name}`,
    `add table ${name} { flags owner; }`,
    `add counter ${name} ${GUARD_COUNTER}`,
    ...[...sets].flatMap(([set, elements]) => [
      `add set ${name} ${set} { type ${type(set)}; }`,
      ...(elements.size === 0 ? [] : [`add element ${name} ${set} { ${[...elements].join(', ')} }`]),
    ]),
    `add chain ${name} ${hook} { type filter hook ${hook} priority ${priority}; policy accept; }`,
    ...rules.map((rule) => `add rule ${name} ${hook} ${rule}`),
  ];
}

/** Directly behind the first table, which has marked whatever it let through. */
function inetRules({marks, lockPodAddresses}: CaptureConfig): string[] {
  const unjudged = `meta mark & ${hex(marks.mask)} != { ${hex(marks.taken)}, ${hex(marks.passed)} }`;
  const drop = `counter name ${GUARD_COUNTER} drop`;
  return ['ip', 'ip6'].flatMap((family) => {
    const n = family === 'ip' ? '4' : '6';
    return [
      `iifname . ${family} saddr @locked${n} ${unjudged} ${drop}`,
      `iifname @closed_interfaces iifname . ${family} saddr != @captured${n} ${unjudged} ${drop}`,
      `iifname != "lo" ${family} saddr @addresses${n} iifname . ${family} saddr != @captured${n} ${drop}`,
      ...(lockPodAddresses
        ? [
            `iifname != "lo" ${family} saddr @pods${n} iifname . ${family} saddr != @free${n} iifname . ${family} saddr != @captured${n} ${drop}`,
          ]
        : []),
    ];
  });
}

/** Behind the first table's rule for the same frames. */
function bridgeRules(capture: Capture): string[] {
  return [
    `${NEIGHBOUR_DISCOVERY} accept`,
    ...capture.bridges.map(
      (_, n) => `iifname @routed_ports_${n} ether type != arp ${unjudged(capture)} counter name ${GUARD_COUNTER} drop`,
    ),
  ];
}

function guardSets(capture: Capture): Sets {
  const all = inetSets(capture);
  return new Map(INET_SETS.map((name) => [name, all.get(name) ?? new Set<string>()]));
}

function portSets(capture: Capture): Sets {
  return new Map([...bridgeSets(capture)].filter(([name]) => name.startsWith('routed_ports_')));
}
