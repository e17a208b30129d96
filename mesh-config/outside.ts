/** Whether a ServiceEntry leads out of the cluster, whatever it says of itself: `location` is a word of who wrote it. Pure. */
import {cidrHolds, inAnyCidr, parseCidr} from '../policy/index.ts';
import type {ServiceEntry} from './surroundings.ts';

/** Where pods, machines of the mesh, the API server and the like are (RFC 1918, 6598, 4193, 3927, 4291). */
const PRIVATE = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  'fc00::/7',
  'fe80::/10',
];
const RANGES = PRIVATE.map((text) => parseCidr(text)!);
const isPrivateAddress = inAnyCidr(PRIVATE);

/** Whether an address, or all of a range (`10.0.0.0/7` is not), is private. */
export function isPrivate(text: string): boolean {
  if (!text.includes('/')) return isPrivateAddress(text);
  const range = parseCidr(text);
  return range !== null && RANGES.some((outer) => range.prefix >= outer.prefix && cidrHolds(outer, range.base));
}

/** Of the mesh is what says so, and goes to private addresses or to pods that it selects, and to nothing that is looked up. */
export function isOutside({
  spec: {location, endpoints = [], workloadSelector, addresses = [], resolution},
}: ServiceEntry): boolean {
  if (location !== 'MESH_INTERNAL') return true;
  // Istio's default is NONE: it goes where the client dialled, whatever else is said.
  if (resolution === undefined || resolution === 'NONE') return addresses.length === 0 || !addresses.every(isPrivate);
  if (endpoints.length === 0) return workloadSelector === undefined;
  return !endpoints.every(({address}) => isPrivate(address ?? ''));
}
