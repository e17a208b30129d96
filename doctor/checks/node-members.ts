/** Whom the kernel holds beside whom it should hold. */
import {bridgeSets, inetSets, type Sets} from '../../tproxy/capture/elements.ts';
import {BRIDGE_TABLE, INET_TABLE} from '../../tproxy/capture/tables.ts';
import type {Check} from '../check.ts';
import {fail, grave, minor, verdictOf, type Problem} from '../outcome.ts';
import {elementsOf} from '../node/listing.ts';
import type {NodeWorld} from '../node/world.ts';

const FOLLOW =
  'The agent follows within a second; if it is still so, see capture.failed and workloads.failed in its log.';

export const nodeMembers: Check<NodeWorld> = {
  name: 'node.members',
  looks: 'pods of this node against the addresses that the kernel holds',
  run: async ({commands, capture}) => {
    const wanted = await capture();
    const problems: Problem[] = [];
    const compare = async (table: string, sets: Sets): Promise<void> => {
      const listed = await commands.run(['nft', '-j', 'list', 'table', ...table.split(' ')]);
      if (listed.status !== 0) problems.push(grave(`there is no table ${table}`, 'Start the agent.'));
      else problems.push(...compared(sets, elementsOf(listed.stdout)));
    };
    await compare(INET_TABLE, inetSets(wanted));
    if (wanted.bridges.length > 0) await compare(BRIDGE_TABLE, bridgeSets(wanted));
    const held = wanted.members.filter(({mode}) => mode !== 'free');
    if (problems.length === 0 && held.length === 0)
      return fail(
        'no pod of this node is captured',
        'Is that so? See --workloads, or the policies that should select pods here.',
      );
    return verdictOf(problems, `${held.length} addresses are held, and these are the ones`);
  },
};

/** The kernel lists a prefix of one address as that address. */
const hostOf = (prefix: string): string => prefix.slice(0, prefix.indexOf('/'));

/** An address that is not held is free; one that is held and nobody's is only cut off. Pure. */
export function compared(wanted: Sets, actual: Sets): Problem[] {
  const problems: Problem[] = [];
  for (const [name, written] of wanted) {
    const elements = new Set([...written].map((element) => element.replace(/(\.\d+\/32|:[\da-f]*\/128)$/, hostOf)));
    const have = actual.get(name) ?? new Set<string>();
    for (const element of elements)
      if (!have.has(element))
        problems.push((name.startsWith('free') ? minor : grave)(`${element} is not in ${name}`, FOLLOW));
    for (const element of have)
      if (!elements.has(element))
        problems.push((name.startsWith('free') ? grave : minor)(`${element} is in ${name} and should not be`, FOLLOW));
  }
  return problems;
}
