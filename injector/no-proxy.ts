/** NO_PROXY: what a pod reaches without its proxy. */
import type {Installation} from './settings.ts';

/**
 * The entries in a stable order, each once. Clients read different things: Go and Python's requests take CIDRs, curl since
 * 7.86, Node and most others only names and literal addresses; so names and suffixes stand beside every range that has
 * them. A suffix is written with its dot: `.svc` is a suffix to all of them, while `svc` is one only to some.
 *
 * Short Service names of other namespaces (`db.team-a`) have no suffix that could be listed: `.team-a` would take every
 * site of a top-level domain of that name away from the proxy. Write `db.team-a.svc`.
 */
export function noProxy(installation: Installation, except: readonly string[], further: readonly string[]): string {
  const {domain, serviceCidrs, podCidrs, nodeCidrs, apiServers} = installation.cluster;
  const entries = [
    'localhost',
    '127.0.0.1',
    '127.0.0.0/8',
    '::1',
    // Metadata and node-local DNS: no proxy could dial them for a pod (POLICY.md, address classes).
    '169.254.0.0/16',
    'fe80::/10',
    'kubernetes',
    'kubernetes.default',
    '.svc',
    `.${domain}`,
    ...apiServers,
    ...serviceCidrs,
    ...podCidrs,
    ...nodeCidrs,
    ...except.map(asSuffix),
    ...further,
  ];
  return [...new Set(entries)].join(',');
}

/** `*.a.b` of a policy is `.a.b` here. `*`, which excepts everything, is the same in both. */
function asSuffix(host: string): string {
  return host.startsWith('*.') ? host.slice(1) : host;
}
