/** NO_PROXY: what a pod reaches without its proxy. */
import {formatAddress, parseCidr} from '../policy/index.ts';
import type {Installation} from './settings.ts';

/**
 * Linux hands a program no variable longer than 128 KiB (execve(2), MAX_ARG_STRLEN): a pod with a longer one could not start,
 * and its properties for Java repeat the list. A quarter of it is thousands of entries.
 */
export const MAX_NO_PROXY_CHARACTERS = 32 * 1024;

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
    ...apiService(serviceCidrs),
    ...serviceCidrs,
    ...podCidrs,
    ...nodeCidrs,
    ...except.map(asSuffix),
    ...further,
  ];
  return [...new Set(entries)].join(',');
}

/** The API server's Service has the first address of the first range: for those who read no CIDRs. */
function apiService([first = '']: readonly string[]): string[] {
  const base = parseCidr(first)?.base;
  return base === undefined ? [] : [formatAddress({...base, w3: base.w3 + 1})];
}

/** `*.a.b` of a policy is `.a.b` here. `*`, which excepts everything, is the same in both. */
function asSuffix(host: string): string {
  return host.startsWith('*.') ? host.slice(1) : host;
}
