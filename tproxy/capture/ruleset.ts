/**
 * The kernel's part of the capture, as one nft transaction. Pure: text from configuration and members.
 *
 * The way of a pod's packet (DESIGN §4, in this order):
 *   1. it carries no mark of ours but one that we set
 *   2. interface and address belong together, or it is dropped
 *   3. replies to connections that were opened towards the pod pass
 *   4. DNS to the named resolver, neighbour discovery and the explicit port pass
 *   5. TCP is handed to our listener
 *   6. the lock: everything else of a locked pod is refused here, in prerouting, before any DNAT
 *   7. forward and input: what has not passed by 3 or 4, or was not taken by 5, is dropped again
 */
import {refusedPrefixes} from './classes.ts';
import type {Capture} from './config.ts';
import {inetSets} from './elements.ts';
import {chains} from './rules.ts';
import {bridgeTable} from './ruleset-bridge.ts';
import {block, BRIDGE_TABLE, COUNTERS, declareSets, INET_TABLE} from './tables.ts';

/** The whole ruleset for `nft -f -`: what was there of ours is replaced within one transaction, so there is no gap. */
export function ruleset(capture: Capture): string {
  return [REMOVAL, ...inetTable(capture), ...(capture.bridges.length === 0 ? [] : bridgeTable(capture)), ''].join('\n');
}

/**
 * Everything of ours removed. "add" first, so that "delete" cannot fail; both tables, so that a bridge that is gone
 * leaves nothing.
 */
export const REMOVAL = [INET_TABLE, BRIDGE_TABLE]
  .map((table) => `add table ${table}\ndelete table ${table}\n`)
  .join('');

function inetTable(capture: Capture): string[] {
  const {config} = capture;
  const refused = refusedPrefixes(config.nodeCidrs, config.nat64Prefixes);
  // A Service's endpoint may be a node's address: the API server's is.
  const special = refusedPrefixes([], config.nat64Prefixes);
  return [
    `table ${INET_TABLE} {`,
    ...Object.keys(COUNTERS).map((name) => `  counter ${name} { }`),
    ...declareSets(inetSets(capture), inetSetType),
    ...block('set special4', ['type ipv4_addr', 'flags interval', `elements = { ${special.v4.join(', ')} }`]),
    ...block('set special6', ['type ipv6_addr', 'flags interval', `elements = { ${special.v6.join(', ')} }`]),
    ...block('set refused4', ['type ipv4_addr', 'flags interval', `elements = { ${refused.v4.join(', ')} }`]),
    ...block('set refused6', ['type ipv6_addr', 'flags interval', `elements = { ${refused.v6.join(', ')} }`]),
    ...chains(config).flatMap(([name, rules]) => block(`chain ${name}`, rules)),
    '}',
  ];
}

/** Of each set of inetSets(), as both of our tables declare it. */
export function inetSetType(name: string): string {
  if (name === 'closed_interfaces') return 'ifname';
  const address = name.endsWith('6') ? 'ipv6_addr' : 'ipv4_addr';
  if (name.startsWith('pods')) return `${address}; flags interval`;
  return name.startsWith('addresses') ? address : `ifname . ${address}`;
}
