/** How an allowed connection leaves: directly, or through which UpstreamProxy. */
import type {CompiledRule} from '../compile-rule.ts';
import type {CompiledProxy, PolicySet} from '../compile.ts';
import type {Via} from '../decision.ts';
import type {Ip} from '../match/addresses.ts';
import {anyHolds} from '../match/classes.ts';
import {isBelow, isUnder, type HostPattern} from '../match/hosts.ts';

export type Route =
  | {readonly kind: 'direct'}
  | {readonly kind: 'missing'; readonly proxy: string}
  | {readonly kind: 'proxy'; readonly proxy: CompiledProxy};

export const DIRECT: Route = {kind: 'direct'};

/**
 * The rule's own `via`, or the first UpstreamProxy by name whose hosts hold the destination.
 * `rule` null: what passes without an Allow rule. `ip` null: not looked up (yet).
 */
export function routeFor(policies: PolicySet, rule: CompiledRule | null, name: string | null, ip: Ip | null): Route {
  const via = rule?.via ?? null;
  if (via === 'Direct') return DIRECT;
  if (via !== null) {
    const proxy = policies.proxies.get(via);
    return proxy === undefined ? {kind: 'missing', proxy: via} : {kind: 'proxy', proxy};
  }
  for (const proxy of policies.defaultProxies) if (carries(policies, proxy, name, ip)) return {kind: 'proxy', proxy};
  return DIRECT;
}

function carries(policies: PolicySet, proxy: CompiledProxy, name: string | null, ip: Ip | null): boolean {
  const {ranges} = policies;
  if (proxy.except.some((pattern) => holds(pattern, name))) return false;
  return proxy.hosts.some((pattern) => {
    if (!holds(pattern, name)) return false;
    if (pattern.kind !== 'any') return true;
    // Its "*" is the world outside: nothing of the cluster's own.
    if (name !== null && isUnder(name, ranges.clusterDomain)) return false;
    return ip === null || !(anyHolds(ranges.service, ip) || anyHolds(ranges.pod, ip) || anyHolds(ranges.node, ip));
  });
}

function holds(pattern: HostPattern, name: string | null): boolean {
  switch (pattern.kind) {
    case 'any':
      return true;
    case 'exact':
      return name === pattern.host;
    case 'suffix':
      return name !== null && isBelow(name, pattern.suffix);
  }
}

export function sameRoute(a: Route, b: Route): boolean {
  if (a.kind === 'proxy' && b.kind === 'proxy') return a.proxy === b.proxy;
  return a.kind === b.kind;
}

/** `byName`: a rule's hosts hold the name, so that the name may be sent; what was judged by its address is sent as that. */
export function viaOf(route: Route, byName: boolean): Via {
  switch (route.kind) {
    case 'direct':
      return {kind: 'direct'};
    case 'missing':
      return {kind: 'missing', proxy: route.proxy};
    case 'proxy': {
      const {name, resolve} = route.proxy.document;
      return {kind: 'proxy', proxy: name, sends: byName && resolve !== 'Local' ? 'name' : 'address'};
    }
  }
}
