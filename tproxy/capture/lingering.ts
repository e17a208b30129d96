/**
 * Members whose pod is said to be gone while its interface is still there: an object can be deleted before its processes have
 * ended (kubectl delete --force), and whoever deletes it must not be free until they have. Pure.
 */
import type {Member, PlacedMember} from './config.ts';

/** Interfaces and bridges that exist now, by name. */
export interface Links {
  readonly names: ReadonlySet<string>;
  readonly bridges: ReadonlySet<string>;
}

/**
 * Those of `before` that stay held beside `now`: as they were, until their interface is gone or the address is another's. An
 * address of a bridge whose port is not known cannot be told apart from the next one's: it is let go.
 */
export function lingering(before: readonly PlacedMember[], now: readonly Member[], links: Links): PlacedMember[] {
  const addresses = new Set(now.map(({ip}) => ip));
  return before.filter((member) => {
    if (member.mode === 'free' || member.interface === null || addresses.has(member.ip)) return false;
    if (member.port === null && links.bridges.has(member.interface)) return false;
    return links.names.has(member.port ?? member.interface);
  });
}
