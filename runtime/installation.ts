/** Settings that mean the same to both enforcement points: what the installation is. */
import {parseCidr, type Installation} from '../policy/index.ts';
import {SallyportError} from './errors.ts';
import {oneOf, type FlagTable, type Settings} from './flags.ts';
import {ownCidrs} from './own-addresses.ts';

export const INSTALLATION_FLAGS = {
  search: {kind: 'list', value: 'DOMAIN', help: 'Search list for names with fewer than two dots.'},
  'cluster-domain': {kind: 'text', value: 'DOMAIN', help: 'Default: cluster.local.'},
  'service-cidr': {kind: 'list', value: 'CIDR', help: "The cluster's Service addresses."},
  'pod-cidr': {kind: 'list', value: 'CIDR', help: "The cluster's pod addresses."},
  'node-cidr': {kind: 'list', value: 'CIDR', help: "The nodes' own addresses."},
  'nat64-prefix': {kind: 'list', value: 'CIDR', help: 'NAT64 prefixes beside 64:ff9b::/96.'},
  'default-action': {kind: 'text', value: 'Deny|Allow', help: 'For workloads that no policy selects. Default: Deny.'},
} as const satisfies FlagTable;

type CidrFlag = 'service-cidr' | 'pod-cidr' | 'node-cidr' | 'nat64-prefix';

/** `ownPorts`: our own listeners, where no request may lead. Throws SallyportError `Usage`. */
export function installationOf(
  settings: Settings<typeof INSTALLATION_FLAGS>,
  origin: (name: keyof typeof INSTALLATION_FLAGS) => string,
  ownPorts: readonly number[],
): Installation {
  const cidrs = (name: CidrFlag): readonly string[] => {
    for (const text of settings[name])
      if (parseCidr(text) === null)
        throw new SallyportError(
          'Usage',
          `${origin(name)}: ${JSON.stringify(text)} is no CIDR`,
          'Write an address and a prefix: 10.96.0.0/12.',
        );
    return settings[name];
  };
  return {
    defaultAction: oneOf(settings['default-action'] ?? 'Deny', ['Deny', 'Allow'], origin('default-action')),
    clusterDomain: (settings['cluster-domain'] ?? 'cluster.local').toLowerCase().replace(/^\.|\.$/g, ''),
    serviceCidrs: cidrs('service-cidr'),
    podCidrs: cidrs('pod-cidr'),
    nodeCidrs: [...cidrs('node-cidr'), ...ownCidrs()],
    nat64Prefixes: cidrs('nat64-prefix'),
    searchDomains: settings.search.map((domain) => domain.toLowerCase().replace(/^\.|\.$/g, '')),
    ownPorts: [...new Set(ownPorts)],
  };
}
