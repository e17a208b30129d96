/** A waypoint as a cluster's controllers would make it, and a client that comes to it as ztunnel does. */
import {once} from 'node:events';
import {connect as connectHttp2, type ClientHttp2Session} from 'node:http2';
import {connect as connectTls} from 'node:tls';
import {stringify} from 'yaml';
import {connectIn, type Lab} from '../lab/index.ts';
import type {AmbientIstiod} from './ambient.ts';
import type {FromIntent} from './generated.ts';
import {TIMEOUT_MS} from './world.ts';

const HBONE_PORT = 15008;
export const WAYPOINT = {
  name: 'sallyport-egress-1',
  namespace: 'shop',
  labels: {
    'gateway.networking.k8s.io/gateway-name': 'sallyport-egress',
    'gateway.istio.io/managed': 'istio.io-mesh-controller',
  },
};

export const SITES = {'pages.test': '5.6.40.1', 'sealed.test': '5.6.40.2', 'evil.test': '5.6.40.9'} as const;
export type Site = keyof typeof SITES;
export const INTENT = stringify({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'MeshEgress',
  metadata: {name: 'default'},
  spec: {
    extauthz: {timeoutMs: TIMEOUT_MS},
    enforcement: [{at: 'Waypoint', namespace: 'shop', hosts: Object.keys(SITES)}],
  },
});
/** The pod's. */
export const WEB = 'spiffe://cluster.local/ns/shop/sa/web';
export const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'shop'},
  spec: {
    podSelector: {},
    rules: [
      {name: 'pages', to: {hosts: ['pages.test'], schemes: ['http']}, http: {paths: ['/public/**']}},
      {name: 'names', to: {hosts: ['sealed.test'], schemes: ['tls']}},
    ],
    deny: {status: 418, body: 'Access Denied by Administrator'},
  },
};

export const LAB_MESH = {
  enableAutoMtls: false,
  rootNamespace: 'istio-system',
  defaultConfig: {discoveryAddress: '127.0.0.1:15010'},
} as const;

/** What istiod and a cluster's controllers would make, and what plain Envoy does not know taken away. */
export function waypointCluster(
  lab: Lab,
  extauthz: {name: string; namespace: string; port: number},
): readonly object[] {
  const waypoint = lab.pod('waypoint').ip4;
  const service = (name: string, namespace: string, port: number, portName: string, ip: string): readonly object[] => [
    {apiVersion: 'v1', kind: 'Service', metadata: {name, namespace}, spec: {ports: [{name: portName, port}]}},
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {name, namespace, labels: {'kubernetes.io/service-name': name}},
      addressType: 'IPv4',
      ports: [{name: portName, port, protocol: 'TCP'}],
      endpoints: [{addresses: [ip], conditions: {ready: true}}],
    },
  ];
  const metadataFilter = (name: string): object => ({
    applyTo: 'HTTP_FILTER',
    match: {
      context: 'ANY',
      listener: {
        filterChain: {filter: {name: 'envoy.filters.network.http_connection_manager', subFilter: {name}}},
      },
    },
    patch: {operation: 'REMOVE'},
  });
  return [
    ...service(extauthz.name, extauthz.namespace, extauthz.port, 'grpc', lab.node.ips[0]!),
    ...service('sallyport-egress', 'shop', HBONE_PORT, 'hbone', waypoint),
    {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: 'sallyport-egress', namespace: 'shop'}},
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {name: WAYPOINT.name, namespace: 'shop', labels: WAYPOINT.labels},
      spec: {
        serviceAccountName: 'sallyport-egress',
        nodeName: 'lab',
        containers: [{name: 'istio-proxy', image: 'none'}],
      },
    },
    {
      apiVersion: 'networking.istio.io/v1alpha3',
      kind: 'EnvoyFilter',
      metadata: {name: 'plain-envoy', namespace: 'shop'},
      spec: {
        targetRefs: [{kind: 'Gateway', group: 'gateway.networking.k8s.io', name: 'sallyport-egress'}],
        configPatches: ['waypoint_upstream_peer_metadata', 'waypoint_downstream_peer_metadata'].map(metadataFilter),
      },
    },
  ];
}

/** The address that istiod gave to a name. */
export async function addressOf({cluster: api}: AmbientIstiod, generated: FromIntent, name: string): Promise<string> {
  const object = generated.objects.find(
    ({object: {kind, spec}}) => kind === 'ServiceEntry' && (spec['hosts'] as string[]).includes(name),
  )!.object;
  for (const deadline = Date.now() + 60_000; ;) {
    const {stdout} = api.kubectl([
      ...['get', 'serviceentry', '-n', 'shop', object.metadata.name],
      ...['-o', 'jsonpath={.status.addresses[*].value}'],
    ]);
    const found = stdout.split(' ').find((one) => one.includes('.'));
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`${name} has no address`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** What ztunnel does for a pod of an ambient mesh: mutual TLS and HTTP/2 to the waypoint. */
export async function hbone(lab: Lab, pair: {cert_chain: Buffer; private_key: Buffer}): Promise<ClientHttp2Session> {
  const socket = connectIn(lab.pod('app').path, {ip: lab.pod('waypoint').ip4, port: HBONE_PORT});
  const tls = connectTls({
    socket,
    ALPNProtocols: ['h2'],
    cert: pair.cert_chain,
    key: pair.private_key,
    rejectUnauthorized: false,
  });
  const session = connectHttp2('https://waypoint', {createConnection: () => tls});
  await once(session, 'connect');
  session.on('error', () => undefined);
  return session;
}
