/** The kernel's memory of connections: what has to be forgotten when an address changes hands or is locked. */
import {commandFailed, type Commands} from './commands.ts';
import {isShut, isV6, type PlacedMember} from './config.ts';

/**
 * `cut`: the address is locked from now on; its open TCP connections are forgotten, so that neither side's next packet
 * gets through. `forget`: it is freed, or another pod's; nothing of the former owner's may hold for the next.
 */
export type Forgetting = {readonly kind: 'cut' | 'forget'; readonly ip: string};

/** What follows a change of members. Pure. */
export function forgettings(before: readonly PlacedMember[], after: readonly PlacedMember[]): Forgetting[] {
  const held = (members: readonly PlacedMember[]): Map<string, PlacedMember> =>
    new Map(members.filter((member) => member.mode !== 'free').map((member) => [member.ip, member]));
  const was = held(before);
  const is = held(after);
  const result: Forgetting[] = [];
  for (const [ip, old] of was) {
    const now = is.get(ip);
    // An earlier run's members are read back from the kernel, which does not know their uids: ''.
    // Not placed is not moved: the interface may be on its way.
    const moved =
      now !== undefined && old.interface !== null && now.interface !== null && old.interface !== now.interface;
    if (now === undefined || (old.uid !== '' && now.uid !== old.uid) || moved) result.push({kind: 'forget', ip});
  }
  for (const [ip, now] of is) {
    const old = was.get(ip);
    const forgotten = result.some((one) => one.ip === ip);
    // Of an earlier run's members only that they were shut is known.
    const asBefore = old !== undefined && (old.uid === '' ? isShut(old.mode) : old.mode === now.mode);
    if (isShut(now.mode) && !asBefore && !forgotten) result.push({kind: 'cut', ip});
  }
  return result;
}

/**
 * Which entries. A pod's own UDP flows are not forgotten by a cut: while the entry lives, the pod's datagrams are told
 * to be its own and refused; without it, the peer's next datagram would be taken for one that was sent to the pod first,
 * and the pod's for its answer. TCP has no such way back (the ruleset's `midstream`).
 */
function selections({kind, ip}: Forgetting): string[][] {
  const family = ['-f', isV6(ip) ? 'ipv6' : 'ipv4'];
  if (kind === 'cut') return [[...family, '-p', 'tcp', '--orig-src', ip]];
  return ['--orig-src', '--orig-dst', '--reply-src', '--reply-dst'].map((side) => [...family, side, ip]);
}

/** Deletes them; answers how many there were. */
export async function forget(commands: Commands, forgetting: Forgetting): Promise<number> {
  let deleted = 0;
  for (const selection of selections(forgetting)) {
    const outcome = await commands.run(['conntrack', '-D', ...selection]);
    const count = /(\d+) flow entries have been deleted/.exec(outcome.stderr)?.[1];
    // Status 1 with "0 flow entries" is "there were none".
    if (count === undefined) throw commandFailed('conntrack', outcome);
    deleted += Number(count);
  }
  return deleted;
}
