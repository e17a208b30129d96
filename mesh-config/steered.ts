/** What sends an allowed name elsewhere after it was asked about: routes, endpoints and code of others in the sidecar. Pure. */
import type {MeshEgressDocument} from '../policy/index.ts';
import {askingIn, isForAsking} from './for-asking.ts';
import {isOutside} from './outside.ts';
import {steering} from './steering-filters.ts';
import {
  isOurs,
  isSeenIn,
  nameOf,
  type Route,
  type ServiceEntry,
  type SidecarResource,
  type Surroundings,
  type VirtualService,
} from './surroundings.ts';
import type {Conflict} from './verify.ts';

export function steered(mesh: MeshEgressDocument, around: Surroundings): readonly Conflict[] {
  return [
    ...sidecarsSteered(mesh, around),
    ...around.envoyFilters
      .filter((one) => !isOurs(mesh, one))
      .flatMap((one) => {
        const does = steering(one, (context) => isForAsking(mesh, one, context));
        return does === null ? [] : [changes(nameOf(one), does)];
      }),
    ...around.wasmPlugins
      .filter((one) => {
        const {match = []} = one.spec;
        // What leaves a sidecar is CLIENT; a gateway, and a waypoint, have only one direction.
        const leaving = match.length === 0 || match.some(({mode}) => mode !== 'SERVER');
        return (leaving && isForAsking(mesh, one, 'SIDECAR_OUTBOUND')) || isForAsking(mesh, one, 'GATEWAY');
      })
      .map((one) => changes(nameOf(one), 'runs code in proxies that ask, which may send a request elsewhere')),
  ];
}

/** What the mesh's own routes and endpoints do to sidecars that ask. */
function sidecarsSteered(mesh: MeshEgressDocument, around: Surroundings): readonly Conflict[] {
  const namespaces = askingIn(mesh);
  if (namespaces?.length === 0) return [];
  const outside = new Set(
    around.serviceEntries
      .filter((entry) => isOutside(entry) && isSeenIn(entry, namespaces))
      .flatMap(({spec}) => spec.hosts ?? []),
  );
  return [
    ...around.virtualServices
      .filter((one) => (one.spec.gateways ?? ['mesh']).includes('mesh') && isSeenIn(one, namespaces))
      .flatMap((one) => routedElsewhere(one, outside)),
    ...around.sidecars
      .filter(({metadata: {namespace}}) => namespaces === null || isNamed(namespace, namespaces, mesh))
      .flatMap(throughProxy),
  ];
}

/** Istio's own way to send what the mesh does not know to one place. */
function throughProxy(sidecar: SidecarResource): readonly Conflict[] {
  const {egressProxy} = sidecar.spec.outboundTrafficPolicy ?? {};
  if (egressProxy === undefined) return [];
  return [
    {
      code: 'SentElsewhere',
      object: nameOf(sidecar),
      message: `whatever the mesh does not know it sends to ${egressProxy.host ?? 'its egressProxy'}, of which nobody was asked`,
      fix: 'Take egressProxy out of it.',
    },
  ];
}

/** Where none asks, the root namespace is no place for it either. */
const isNamed = (namespace: string, namespaces: readonly string[], {istio}: MeshEgressDocument): boolean =>
  namespaces.length > 0 && (namespace === istio.rootNamespace || namespaces.includes(namespace));

/** `outside`: hosts that are not of the mesh. What is sent to a service of the mesh does not leave it by that. */
function routedElsewhere(service: VirtualService, outside: ReadonlySet<string>): readonly Conflict[] {
  const {hosts = [], http = [], tls = [], tcp = []} = service.spec;
  const found = [...http, ...tls, ...tcp].flatMap((route): readonly string[] => {
    const names = namesOf(route, hosts);
    const asked = names.length === 0 ? 'what another one hands to it' : `what was asked about as ${names.join(', ')}`;
    const elsewhere = targetsOf(route)
      .filter((host) => outside.has(host) && !(names.length === 1 && names[0] === host))
      .map((host) => `${asked} it sends to ${host}, of which nobody was asked`);
    const leaves = targetsOf(route).some((host) => outside.has(host));
    return [...elsewhere, ...(leaves && rewrites(route) ? [`${asked} it rewrites before it is sent`] : [])];
  });
  return [...new Set(found)].map((message) => ({
    code: 'SentElsewhere',
    object: nameOf(service),
    message,
    fix: 'Take the route out; where it is wanted, let pods ask for what is sent.',
  }));
}

/** For whom a route is: the names that all of its matches want, else the hosts of the whole. */
function namesOf({match = []}: Route, hosts: readonly string[]): readonly string[] {
  const wanted = match.map(
    ({sniHosts, authority}) => sniHosts ?? (authority?.exact === undefined ? null : [authority.exact]),
  );
  return wanted.length === 0 || wanted.includes(null) ? hosts : [...new Set(wanted.flatMap((names) => names ?? []))];
}

/** With whom gets a copy: a copy is sent without a question of its own. */
const targetsOf = ({route = [], mirror, mirrors = []}: Route): readonly string[] =>
  [...route.map(({destination}) => destination), mirror, ...mirrors.map(({destination}) => destination)].flatMap(
    (destination) => destination?.host ?? [],
  );

const rewrites = ({rewrite, headers}: Route): boolean =>
  rewrite !== undefined ||
  Object.keys(headers?.request?.set ?? {}).some((name) => ['host', ':authority', ':path'].includes(name.toLowerCase()));

const changes = (object: string, does: string): Conflict => ({
  code: 'SentElsewhere',
  object,
  message: `it ${does}`,
  fix: 'Take it out; where it is for what comes in, say so (context SIDECAR_INBOUND, match.mode SERVER).',
});

/** Hosts outside of the mesh, with the addresses that somebody has written for them. */
export const pinned = (
  mesh: MeshEgressDocument,
  {serviceEntries}: Surroundings,
): readonly {readonly entry: ServiceEntry; readonly host: string}[] => {
  const namespaces = askingIn(mesh);
  if (namespaces?.length === 0) return [];
  return serviceEntries
    .filter(
      (entry) =>
        isOutside(entry) &&
        !isOurs(mesh, entry) &&
        isSeenIn(entry, namespaces) &&
        (entry.spec.endpoints ?? []).length > 0,
    )
    .flatMap((entry) =>
      (entry.spec.hosts ?? []).filter((host) => !host.startsWith('*')).map((host) => ({entry, host})),
    );
};

/** `resolved`: the addresses that the host has, null where it has none: then nobody gets past the question with it. */
export function pinnedElsewhere(
  entry: ServiceEntry,
  host: string,
  resolved: readonly string[] | null,
): readonly Conflict[] {
  if (resolved === null) return [];
  const wrong = (entry.spec.endpoints ?? []).flatMap(({address}) =>
    address === undefined || address === host || resolved.includes(address) ? [] : [address],
  );
  if (wrong.length === 0) return [];
  return [
    {
      code: 'SentElsewhere',
      object: nameOf(entry),
      message: `what was asked about as ${host} it sends to ${wrong.join(', ')}, which is not ${host}`,
      fix: 'Take endpoints out of it.',
    },
  ];
}
