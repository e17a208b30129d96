/** TLS and other connections that a parent would have to carry, and that a ServiceEntry keeps on a chain of their own. Pure. */
import type {MeshEgressDocument, UpstreamProxyDocument} from '../policy/index.ts';
import {askingIn} from './for-asking.ts';
import {isOutside} from './outside.ts';
import {isOurs, isSeenIn, nameOf, type Surroundings} from './surroundings.ts';
import type {Conflict} from './verify.ts';

/** How Istio takes ports whose requests have routes: those are chosen after the answer. */
const WITH_ROUTES = ['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB'];

export function unchained(
  mesh: MeshEgressDocument,
  proxies: readonly UpstreamProxyDocument[],
  {serviceEntries}: Surroundings,
): readonly Conflict[] {
  const parents = proxies.filter(({name}) => mesh.chain.some((one) => one.name === name));
  const namespaces = askingIn(mesh);
  if (parents.length === 0 || namespaces?.length === 0) return [];
  return serviceEntries
    .filter((entry) => !isOurs(mesh, entry) && isOutside(entry) && isSeenIn(entry, namespaces))
    .flatMap((entry): readonly Conflict[] => {
      const closed = (entry.spec.ports ?? []).filter(
        ({protocol = ''}) => !WITH_ROUTES.includes(protocol.toUpperCase()),
      );
      if (closed.length === 0) return [];
      return (entry.spec.hosts ?? []).flatMap((host) => {
        const parent = parents.find((one) => sends(one, host));
        if (parent === undefined) return [];
        return [
          {
            code: 'NotChained',
            object: nameOf(entry),
            message: `${host} leaves through UpstreamProxy ${parent.name}, and on port ${closed.map(({number}) => number).join(', ')} it has a filter chain of its own here, from which nothing is sent there: it is refused (UpstreamUnreachable)`,
            fix: 'Delete it: through the parent a name need not be known to the mesh.',
          },
        ];
      });
    });
}

/** Whether it is for the host whatever the rules say. A host may be a pattern itself: `*.example` is sent where `*.example` or `*` is. */
function sends({hosts, except}: UpstreamProxyDocument, host: string): boolean {
  const holds = (pattern: string): boolean =>
    pattern === '*' || pattern === host || (pattern.startsWith('*.') && host.endsWith(pattern.slice(1)));
  return hosts.some(holds) && !except.some(holds);
}
