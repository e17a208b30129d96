/** The tables' names, their counters, and how a set is written. Pure. */
import type {Sets} from './elements.ts';

export const INET_TABLE = 'inet sallyport';
export const BRIDGE_TABLE = 'bridge sallyport';

/** Every counter of the ruleset and what it counts, for metrics and `doctor`. */
export const COUNTERS = {
  taken: 'packets handed to the listener',
  replies: 'replies to connections opened towards a pod',
  dialled_replies: 'replies to connections dialled with a pod’s address',
  dial_collisions: 'dropped: a dial whose numbers a connection of the pod has',
  dial_redirected: 'refused: a dial that a Service leads to a metadata server or the like',
  dns: 'packets to the named resolver',
  neighbours: 'neighbour discovery',
  explicit: 'packets to the explicit port',
  spoofed: 'dropped: a source address that is not the interface’s',
  unknown_pod: 'dropped: a pod interface whose pod is not known yet',
  midstream: 'dropped: a connection to a pod that was not seen opening',
  mesh: 'packets of pods with a sidecar to the mesh’s destinations',
  mesh_refused: 'refused: whatever else a pod with a sidecar sends',
  listener_away: 'dropped: TCP of a locked pod while nothing listens',
  refused_udp: 'refused: UDP of a locked pod',
  refused_icmp: 'refused: ICMP of a locked pod',
  refused_other: 'refused: any other protocol of a locked pod',
  audit_refused: 'refused: an Audit pod to an address that Audit enforces',
  audit_tcp: 'passed: TCP of an Audit pod that was not taken',
  audit_other: 'passed: other protocols of an Audit pod',
  forward_dropped: 'dropped by the second line in forward',
  input_dropped: 'dropped by the second line in input',
  ports_closed: 'dropped: our own ports, not by the way that is theirs',
} as const;
export type Counter = keyof typeof COUNTERS;

/** Those of the bridge's table. */
export const BRIDGE_COUNTERS = {
  bridge_routed: 'frames of members led through the rules',
  bridge_spoofed: 'dropped: a source address that is not the port’s',
  bridge_dropped: 'dropped: a frame from port to port',
} as const;

/** `head { lines }`, indented into a table. */
export const block = (head: string, lines: readonly string[]): string[] => [
  `  ${head} {`,
  ...lines.map((line) => `    ${line}`),
  '  }',
];

/** The set declarations with their contents. */
export function declareSets(sets: Sets, type: (name: string) => string): string[] {
  return [...sets].flatMap(([name, elements]) =>
    block(`set ${name}`, [
      `type ${type(name)}`,
      ...(elements.size === 0 ? [] : [`elements = { ${[...elements].join(', ')} }`]),
    ]),
  );
}
