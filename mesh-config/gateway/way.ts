/** How pods get to the gateway: a name in the mesh, mutual TLS to it, and all that would leave by itself handed to it. */
import type {EgressGatewayIntent, MeshEgressDocument} from '../../policy/index.ts';
import {type} from '../check.ts';
import {istioObject, workloadSelector, type Generated, type Scope} from '../objects.ts';
import {PRIORITY} from '../priorities.ts';

/** In the mesh's registry only: sidecars know it as a cluster, and nobody looks it up. */
export const GATEWAY_HOST = 'egress-gateway.sallyport.internal';

/** RFC 7600's dummy address: nothing has it. Without one, sidecars would take every connection on that port for the gateway. */
const DUMMY_ADDRESS = '192.0.0.8/32';

/** What the client dialled, as its sidecar tells the gateway of each request that comes by itself. It says where, not who: a pod may dial what it likes. */
export const DIALLED_HEADER = 'x-sallyport-dialled';

const TCP_PROXY = 'envoy.filters.network.tcp_proxy';
const context = 'SIDECAR_OUTBOUND';

export const gatewayCluster = ({port}: EgressGatewayIntent): string => `outbound|${port}||${GATEWAY_HOST}`;

export const gatewayIdentity = ({istio, egressGateway: {namespace, serviceAccount}}: MeshEgressDocument): string =>
  `spiffe://${istio.trustDomain}/ns/${namespace}/sa/${serviceAccount}`;

export function gatewayService(mesh: MeshEgressDocument, namespaces: readonly string[]): Generated {
  const {namespace, labels, port} = mesh.egressGateway;
  return {
    why: `The gateway's pods under a name that sidecars know, on the port on which they take what leaves. A Service would do the same; this needs nothing of whoever installs the gateway.`,
    object: istioObject(mesh, 'networking.istio.io/v1', 'ServiceEntry', 'sallyport-gateway', namespace, {
      hosts: [GATEWAY_HOST],
      addresses: [DUMMY_ADDRESS],
      ports: [{number: port, name: 'tcp-egress', protocol: 'TCP'}],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      workloadSelector: {labels},
      exportTo: [...namespaces],
    }),
  };
}

export function gatewayTls(mesh: MeshEgressDocument, namespaces: readonly string[]): Generated {
  return {
    why: `Sidecars show the pod's certificate to the gateway, which tells extauthz whose connection it is; and the gateway has to show its own. Without this nobody is told apart, and nothing gets in.`,
    object: istioObject(
      mesh,
      'networking.istio.io/v1',
      'DestinationRule',
      'sallyport-gateway',
      mesh.egressGateway.namespace,
      {
        host: GATEWAY_HOST,
        trafficPolicy: {tls: {mode: 'ISTIO_MUTUAL', subjectAltNames: [gatewayIdentity(mesh)]}},
        exportTo: [...namespaces],
      },
    ),
  };
}

/** For the sidecars of a scope. */
export function toGateway(mesh: MeshEgressDocument, scope: Scope): Generated {
  const cluster = gatewayCluster(mesh.egressGateway);
  return {
    why: `What no service of the mesh is for goes to the egress gateway, whatever its name and port. Connections in a tunnel, with the address that the client dialled; HTTP on ports that services use too, by its Host.`,
    object: istioObject(
      mesh,
      'networking.istio.io/v1alpha3',
      'EnvoyFilter',
      `sallyport-to-gateway${scope.suffix}`,
      scope.namespace,
      {
        ...workloadSelector(scope),
        priority: PRIORITY.sidecar,
        configPatches: [
          // Ports of no service; and on ports of services, what is for none of them.
          ...['virtualOutbound-catchall-tcp', 'PassthroughFilterChain'].map((name) => ({
            applyTo: 'NETWORK_FILTER',
            match: {context, listener: {filterChain: {name, filter: {name: TCP_PROXY}}}},
            patch: {operation: 'MERGE', value: tunnelTo(cluster)},
          })),
          ...['allow_any', 'block_all'].map((name) => ({
            applyTo: 'VIRTUAL_HOST',
            match: {context, routeConfiguration: {vhost: {name}}},
            patch: {operation: 'REMOVE'},
          })),
          {
            applyTo: 'VIRTUAL_HOST',
            match: {context},
            patch: {operation: 'ADD', value: everyOtherHost(cluster)},
          },
        ],
      },
    ),
  };
}

const tunnelTo = (cluster: string) => ({
  name: TCP_PROXY,
  typed_config: {
    '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
    cluster,
    tunneling_config: {hostname: '%DOWNSTREAM_LOCAL_ADDRESS%'},
  },
});

const everyOtherHost = (cluster: string) => ({
  name: 'sallyport-egress',
  domains: ['*'],
  request_headers_to_add: [
    {
      header: {key: DIALLED_HEADER, value: '%DOWNSTREAM_LOCAL_ADDRESS%'},
      append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
    },
  ],
  routes: [{match: {prefix: '/'}, route: {cluster, timeout: '0s'}}],
});
