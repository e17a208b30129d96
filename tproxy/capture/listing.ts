/** What the kernel has of ours, read back from nft's JSON. */
import {mustRun, type Commands} from './commands.ts';
import type {PlacedMember} from './config.ts';

interface Listing {
  readonly nftables: readonly {
    readonly counter?: {readonly table: string; readonly name: string; readonly packets: number};
    readonly set?: {readonly elem?: readonly unknown[]};
  }[];
}

/** Packets by counter, of both tables. Empty where there are none. */
export async function counterValues(commands: Commands): Promise<Map<string, number>> {
  const {nftables} = JSON.parse(await mustRun(commands, ['nft', '-j', 'list', 'counters'])) as Listing;
  const values = new Map<string, number>();
  for (const {counter} of nftables) {
    if (counter?.table !== 'sallyport') continue;
    values.set(counter.name, (values.get(counter.name) ?? 0) + counter.packets);
  }
  return values;
}

/** Whom an earlier run locked: these have been cut, and their connections since then are ours. Empty where there is no table. */
export async function heldInKernel(commands: Commands): Promise<PlacedMember[]> {
  const members: PlacedMember[] = [];
  for (const set of ['locked4', 'locked6']) {
    const outcome = await commands.run(['nft', '-j', 'list', 'set', 'inet', 'sallyport', set]);
    if (outcome.status !== 0) continue;
    const {nftables} = JSON.parse(outcome.stdout) as Listing;
    for (const element of nftables.flatMap((entry) => entry.set?.elem ?? [])) {
      const concat = (element as {concat?: unknown}).concat;
      if (!Array.isArray(concat)) continue;
      const [name, ip] = concat as [string, string];
      members.push({ip, mode: 'locked', uid: '', interface: name, port: null});
    }
  }
  return members;
}
