import type {Installation} from '../../../../policy/index.ts';
import {PORTS} from '../../../../runtime/names.ts';

/**
 * The installation that every target is started as. The addresses are the lab's (test/lab/plan.ts); the service range
 * has no services in it, as no case knows of any.
 */
export const INSTALLATION: Installation = {
  defaultAction: 'Deny',
  clusterDomain: 'cluster.local',
  serviceCidrs: ['10.76.0.0/16', 'fd76::/64'],
  podCidrs: ['10.77.0.0/16', 'fd77::/64'],
  nodeCidrs: ['10.78.0.0/16', 'fd78::/64'],
  nat64Prefixes: [],
  searchDomains: [],
  ownPorts: Object.values(PORTS),
};
