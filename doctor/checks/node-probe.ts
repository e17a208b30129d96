/** Packets from inside captured pods, and what the rules' counters say of them. */
import {counterValues} from '../../tproxy/capture/listing.ts';
import type {PlacedMember} from '../../tproxy/capture/config.ts';
import type {Check} from '../check.ts';
import {blind, grave, ok, verdictOf, type Problem} from '../outcome.ts';
import type {NodeWorld} from '../node/world.ts';
import {namespaceBehind, sendProbes, type ProbeResult} from '../probe/send.ts';

/** Of a node's pods so many are asked: what differs between pods is in node.members. */
const MAX_PODS = 3;

export const nodeProbe: Check<NodeWorld> = {
  name: 'node.probe',
  looks: 'packets sent from inside captured pods, counted by the rules',
  run: async ({commands, capture}) => {
    const pods = podsOf((await capture()).members);
    if (pods.length === 0) return ok('no pod is captured here, so no probe was sent');
    const problems: Problem[] = [];
    let asked = 0;
    let refusal: Error | null = null;
    for (const [port, members] of pods) {
      if (asked === MAX_PODS) break;
      const namespace = await namespaceBehind(commands, port);
      if (namespace === null) continue;
      const before = await counterValues(commands);
      let results: ProbeResult[];
      try {
        results = await sendProbes(commands, namespace, members);
      } catch (error) {
        refusal = error as Error;
        continue;
      }
      asked++;
      const after = await counterValues(commands);
      const rise = (name: string): number => (after.get(name) ?? 0) - (before.get(name) ?? 0);
      problems.push(...probed(members, results, rise));
    }
    if (asked === 0 && refusal !== null) throw refusal;
    if (asked === 0)
      return blind(
        `none of the network namespaces of ${pods.length} captured pods can be reached from here`,
        'Run doctor as root on the node itself, or in a pod with hostPID; in the pod "sallyport guard" proves the same.',
      );
    return verdictOf(problems, `from ${asked} of ${pods.length} pods: TCP is taken, what cannot be taken is refused`);
  },
};

/** Members by the interface that they are plugged in at, locked ones first. */
function podsOf(members: readonly PlacedMember[]): [string, PlacedMember[]][] {
  const pods = new Map<string, PlacedMember[]>();
  const locked = members.filter(({mode}) => mode === 'locked');
  for (const member of [...locked, ...members.filter(({mode}) => mode === 'captured')]) {
    const port = member.port ?? member.interface;
    if (port === null) continue;
    const of = pods.get(port) ?? [];
    pods.set(port, [...of, member]);
  }
  return [...pods];
}

/** What the probes of one pod came to. Pure. `rise`: of a counter while they were sent. */
export function probed(
  members: readonly PlacedMember[],
  results: readonly ProbeResult[],
  rise: (counter: string) => number,
): Problem[] {
  const problems: Problem[] = [];
  const modes = new Map(members.map(({ip, mode}) => [ip.includes(':') ? 6 : 4, mode] as const));
  const where = members.map(({ip}) => ip).join(', ');
  // A family that the pod has an address of and no route for: there is nothing to be held there.
  const reached = results.filter(({tcp, udp}) => tcp !== 'ENETUNREACH' || udp !== 'ENETUNREACH');
  const datagrams = reached.reduce((sum, {family, sent}) => sum + (modes.get(family) === 'locked' ? sent : 0), 0);
  if (datagrams > 0 && rise('refused_udp') < datagrams)
    problems.push(
      grave(
        `${datagrams} datagrams from ${where} and refused_udp rose by ${rise('refused_udp')}: they went past the rules`,
        'See node.rules, node.members and node.dataplane: which of them differs?',
      ),
    );
  for (const {family, tcp} of reached)
    if (tcp !== 'connected')
      problems.push(
        rise('listener_away') > 0
          ? grave(
              `TCP of ${where} over IPv${family} was held but taken by nobody (${tcp}): pods have no way out`,
              'Restart the agent; node.listeners and node.routing say what it lacks.',
            )
          : grave(
              `TCP of ${where} over IPv${family} was not taken (${tcp}): it went past the rules, or nowhere`,
              'See node.rules, node.routing and node.dataplane.',
            ),
      );
  const connected = reached.filter(({tcp}) => tcp === 'connected').length;
  if (connected > 0 && rise('taken') === 0)
    problems.push(
      grave(
        `TCP of ${where} was answered, and not by us: the counter "taken" did not rise`,
        'Somebody answers for 192.0.2.0/24 in front of the rules: see node.dataplane.',
      ),
    );
  return problems;
}
