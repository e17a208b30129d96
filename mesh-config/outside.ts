/** Whether a ServiceEntry leads out of the cluster, whatever it says of itself: `location` is a word of who wrote it. Pure. */
import {inAnyCidr} from '../policy/index.ts';
import type {ServiceEntry} from './surroundings.ts';

/** Where pods, machines of the mesh, the API server and the like are (RFC 1918, 6598, 4193, 3927, 4291). */
export const isPrivate = inAnyCidr([
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  'fc00::/7',
  'fe80::/10',
]);

/** Of the mesh is what says so, and goes to private addresses or to pods that it selects, and to nothing that is looked up. */
export function isOutside({
  spec: {location, endpoints = [], workloadSelector, addresses = [], resolution},
}: ServiceEntry): boolean {
  if (location !== 'MESH_INTERNAL') return true;
  const where =
    resolution === 'NONE' ? addresses.map((one) => one.split('/')[0]!) : endpoints.map((one) => one.address ?? '');
  return where.length === 0 ? workloadSelector === undefined : !where.every((one) => isPrivate(one));
}
