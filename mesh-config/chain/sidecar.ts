/** Sidecars send through the corporate proxy what the answer says leaves through it, whatever the pod is told of proxies. */
import type {MeshEgressDocument} from '../../policy/index.ts';
import {httpCheck, networkCheck, type Says} from '../check.ts';
import {istioObject, workloadSelector, type Generated, type Scope} from '../objects.ts';
import {PRIORITY} from '../priorities.ts';
import {exitClusters, exitListener, tcpProxyToExit} from './connections.ts';
import {parentEndpoints, throughAny, type Chain} from './parents.ts';
import {CHOOSE_AGAIN, requestRoutes, tunnelClusterFor, tunnelListener} from './requests.ts';

const context = 'SIDECAR_OUTBOUND';
const CHECK = {http: 'envoy.filters.http.ext_authz', network: 'envoy.filters.network.ext_authz'} as const;
const TCP_PROXY = 'envoy.filters.network.tcp_proxy';
const HTTP_CHECK = {
  context,
  listener: {
    filterChain: {filter: {name: 'envoy.filters.network.http_connection_manager', subFilter: {name: CHECK.http}}},
  },
} as const;
/** The chains of what no service of the mesh is for: ports that none has, and on ports of services what is for none of them. */
const UNREGISTERED = ['virtualOutbound-catchall-tcp', 'PassthroughFilterChain'] as const;

/** `asked`: what the sidecars of the scope say with each question. */
export function chainFilter(mesh: MeshEgressDocument, scope: Scope, chain: Chain, asked: Says): Generated {
  const names = chain.parents.map(({document}) => document.name).join(', ');
  const add = (applyTo: 'CLUSTER' | 'LISTENER', value: object): object => ({
    applyTo,
    match: {context},
    patch: {operation: 'ADD', value},
  });
  return {
    why: `What leaves through UpstreamProxy ${names} is sent there by the sidecar itself, pods without proxy settings included: by CONNECT, or plain HTTP with its whole URL; after the question, and where its answer says so. A parent that is away is no reason to go direct.`,
    object: istioObject(
      mesh,
      'networking.istio.io/v1alpha3',
      'EnvoyFilter',
      `sallyport-chain${scope.suffix}`,
      scope.namespace,
      {
        ...workloadSelector(scope),
        priority: PRIORITY.chain,
        configPatches: [
          ...chain.parents.map((parent) => add('CLUSTER', parentEndpoints(parent))),
          add('CLUSTER', tunnelClusterFor('http', {})),
          ...exitClusters(chain).map((value) => add('CLUSTER', value)),
          add('LISTENER', tunnelListener()),
          add('LISTENER', exitListener(chain)),
          ...UNREGISTERED.flatMap((name) => [
            {
              applyTo: 'NETWORK_FILTER',
              match: {context, listener: {filterChain: {name, filter: {name: CHECK.network}}}},
              patch: {operation: 'REPLACE', value: networkCheck(mesh, throughAny(asked))},
            },
            {
              applyTo: 'NETWORK_FILTER',
              match: {context, listener: {filterChain: {name, filter: {name: TCP_PROXY}}}},
              patch: {operation: 'MERGE', value: tcpProxyToExit()},
            },
          ]),
          // Together with the routes: said without them, what leaves through a parent would go direct.
          {
            applyTo: 'HTTP_FILTER',
            match: HTTP_CHECK,
            patch: {operation: 'REPLACE', value: httpCheck(mesh, CHECK.http, throughAny(asked))},
          },
          {applyTo: 'HTTP_FILTER', match: HTTP_CHECK, patch: {operation: 'INSERT_AFTER', value: CHOOSE_AGAIN}},
          // The first inserted comes last.
          ...requestRoutes(chain)
            .toReversed()
            .map((value) => ({applyTo: 'HTTP_ROUTE', match: {context}, patch: {operation: 'INSERT_FIRST', value}})),
        ],
      },
    ),
  };
}

export const PLAIN_HTTP_HOST = 'plain-http.sallyport.internal';

/**
 * Istio reads HTTP on ports only that some service speaks it on. With this, port 80 is one of them; the name is nobody's, and
 * the policy decides about it as about any other.
 */
export function plainHttp(mesh: MeshEgressDocument): Generated {
  return {
    why: `Plain HTTP on port 80 is read as HTTP, whatever services the mesh has: else its requests could not be sent to a parent with their whole URL. The name is nobody's.`,
    object: istioObject(
      mesh,
      'networking.istio.io/v1',
      'ServiceEntry',
      'sallyport-chain-http',
      mesh.istio.rootNamespace,
      {
        hosts: [PLAIN_HTTP_HOST],
        ports: [{number: 80, name: 'http', protocol: 'HTTP'}],
        location: 'MESH_EXTERNAL',
        resolution: 'NONE',
      },
    ),
  };
}
