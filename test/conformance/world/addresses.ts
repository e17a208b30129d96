/** Which address each server of a world has. */
import type {Case} from '../format/case.ts';

/** Public-looking, of no special range, one /16 each: tried in order until one is clear of every address in the case. */
const POOLS = ['23.45', '31.13', '44.11', '52.30', '61.9', '74.125', '81.2', '93.184'];

/** The addresses of each server, by name; allotted ones are clear of every fixed one, also of those in policies and steps. */
export function worldAddresses(world: Case): ReadonlyMap<string, readonly string[]> {
  const text = JSON.stringify([world.documents, world.servers, world.steps]);
  const pool = POOLS.find((prefix) => !new RegExp(`(?<![0-9.])${prefix.replace('.', '\\.')}\\.`).test(text));
  if (pool === undefined) throw new Error(`${world.file}: every address pool is in use by the case itself`);
  let next = 0;
  const allot = (): string => {
    next++;
    // 10 and up in the last octet: neither network nor gateway, whatever a reader expects of those.
    return `${pool}.${Math.floor(next / 200) + 1}.${10 + (next % 200)}`;
  };
  return new Map(world.servers.map((server) => [server.name, server.addresses ?? [allot()]]));
}
