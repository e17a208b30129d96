/** What in a cluster leads around the gateway or the waypoint, or takes keys to where they must not be. Pure. */
import type {MeshEgressDocument} from '../../policy/index.ts';
import {isOutside} from '../outside.ts';
import {isOurs, isSeenIn, nameOf, type EnvoyFilter, type Surroundings} from '../surroundings.ts';
import type {Conflict} from '../verify.ts';

export function aroundGateway(
  mesh: MeshEgressDocument,
  {serviceEntries, envoyFilters}: Surroundings,
): readonly Conflict[] {
  const led = mesh.enforcement.flatMap(({at, namespace}) => (at === 'Sidecar' ? [] : [namespace]));
  const direct =
    led.length === 0
      ? []
      : serviceEntries
          .filter((entry) => !isOurs(mesh, entry) && isOutside(entry) && isSeenIn(entry, led))
          .map((entry) => {
            const hosts = (entry.spec.hosts ?? []).join(', ');
            const waypoint = entry.metadata.labels?.['istio.io/use-waypoint'];
            return {
              code: 'AroundGateway',
              object: nameOf(entry),
              message:
                waypoint === undefined
                  ? `sidecars that see it dial ${hosts} by themselves, past the gateway; where the NetworkPolicy is enforced, in vain`
                  : `it binds ${hosts} to the waypoint ${waypoint}: who sees it gets there unasked, or under a name that is allowed`,
              fix: 'Delete it, for the gateway takes every name, and MeshEgress binds those of a waypoint (hosts); or show it elsewhere only (exportTo).',
            };
          });
  const keys = envoyFilters.filter(givesKeys).map((filter) => ({
    code: 'LeafKeysInSidecar',
    object: nameOf(filter),
    message:
      'it lets sidecars fetch certificates on demand: keys that the cluster trusts would be in pods of applications',
    fix: 'Delete it, and inspect at the egress gateway (spec.egressGateway.inspect).',
  }));
  return [...direct, ...keys];
}

/** Anywhere but in gateways: a patch without a context is for sidecars too. */
const givesKeys = ({spec}: EnvoyFilter): boolean =>
  (spec.configPatches ?? []).some(
    ({match, patch}) =>
      match?.context !== 'GATEWAY' &&
      (JSON.stringify(patch?.value ?? null) ?? '').includes('cert_selectors.on_demand_secret'),
  );
