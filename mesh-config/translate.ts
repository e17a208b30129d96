/** MeshEgress and UpstreamProxies to Istio objects. Pure; the same in gives the same out, in the same order. */
import {
  parseAddress,
  type Enforcement,
  type Finding,
  type MeshEgressDocument,
  type UpstreamProxyDocument,
} from '../policy/index.ts';
import {proxyServices, serviceEntry, type ProxyService} from './external-proxy.ts';
import {scopeOf, type Generated, type Scope} from './objects.ts';
import {connectFilter} from './connect.ts';
import {extauthzTls, gatewayObjects} from './gateway/gateway.ts';
import {waypointObjects} from './waypoint/waypoint.ts';
import {chained} from './chain/chained.ts';
import {DIALS_ADDRESS, sidecarFilters} from './sidecar.ts';
import {chainFilter, plainHttp} from './chain/sidecar.ts';

export interface Translated {
  /** Empty where there are errors: half of it would be a mesh that is half open. */
  readonly objects: readonly Generated[];
  /** The corporate proxies as the mesh is to know them; empty where there are errors. */
  readonly proxies: readonly ProxyService[];
  readonly findings: readonly Finding[];
}

export function translate(mesh: MeshEgressDocument, proxies: readonly UpstreamProxyDocument[]): Translated {
  const findings: Finding[] = [];
  const services = readProxies(mesh, proxies, findings);
  const chain = chained(mesh, proxies, findings);
  if (findings.some(({severity}) => severity === 'error')) return {objects: [], proxies: [], findings};
  const scopesAt = (at: Enforcement['at']) =>
    mesh.enforcement.filter((entry) => entry.at === at).map((entry) => scopeOf(mesh, entry));
  return {
    // In the order in which they are to be written: questions before what they ask about, so that nothing is reachable unasked
    // in between.
    objects: [
      ...extauthzTls(mesh),
      ...scopesAt('Sidecar').flatMap((scope) => [
        ...sidecarFilters(mesh, scope),
        ...(chain === null ? [] : [chainFilter(mesh, scope, chain, DIALS_ADDRESS)]),
        ...services
          .filter((service) => reaches(service, scope, mesh))
          .map((service) => connectFilter(mesh, scope, service)),
      ]),
      ...gatewayObjects(mesh, scopesAt('EgressGateway'), chain === null ? null : {...chain, directAnywhere: true}),
      ...mesh.enforcement.flatMap((entry) => (entry.at === 'Waypoint' ? waypointObjects(mesh, entry) : [])),
      ...services.map((service) => serviceEntry(mesh, service)),
      ...(chain === null || scopesAt('Sidecar').length === 0 ? [] : [plainHttp(mesh)]),
    ],
    proxies: services,
    findings,
  };
}

/** Whether any pod of the scope sees the proxy: a filter that can match nothing is not written. */
const reaches = ({namespaces}: ProxyService, {namespace}: Scope, mesh: MeshEgressDocument): boolean =>
  namespaces === null || namespace === mesh.istio.rootNamespace || namespaces.includes(namespace);

function readProxies(
  mesh: MeshEgressDocument,
  proxies: readonly UpstreamProxyDocument[],
  findings: Finding[],
): readonly ProxyService[] {
  return mesh.proxies.flatMap((entry, i) => {
    const error = (code: string, message: string, fix: string): [] => {
      const path = `spec.proxies[${i}]`;
      findings.push({severity: 'error', code, message, fix, at: mesh.at, object: `MeshEgress ${mesh.name}`, path});
      return [];
    };
    const proxy = proxies.find(({name}) => name === entry.name);
    if (proxy === undefined)
      return error(
        'UnknownProxy',
        `there is no UpstreamProxy ${entry.name}`,
        'Give its document too, in the same file or with another -f.',
      );
    if (proxy.auth !== null && mesh.extauthz.identity === null && mesh.enforcement.length > 0)
      return error(
        'NoIdentity',
        `UpstreamProxy ${entry.name} wants credentials, and extauthz tells them only to sidecars that show their certificate`,
        'Give extauthz a certificate of the mesh, and write its name under spec.extauthz.identity.',
      );
    const named = proxy.endpoints.find(({host}) => parseAddress(host) === null);
    if (named !== undefined && entry.addresses === null)
      return error(
        'NoAddresses',
        `the addresses of ${named.host} are not known`,
        `List all of them under addresses: sidecars match the proxy by address.`,
      );
    // There sidecars ask nobody: who sees the proxy would be sent to it, and everything behind it, unasked.
    const unasked = mesh.enforcement.find(
      ({at, namespace}) => at !== 'Sidecar' && (entry.namespaces?.includes(namespace) ?? true),
    );
    if (unasked !== undefined)
      return error(
        'ProxyUnasked',
        `pods of ${unasked.namespace} would reach UpstreamProxy ${entry.name} past the ${unasked.at === 'Waypoint' ? 'waypoint' : 'gateway'}, and nobody would be asked`,
        'Name under namespaces only those whose sidecars ask.',
      );
    return proxyServices(entry, proxy, (host) => parseAddress(host) !== null);
  });
}
