/** Envoy as Istio starts it, beside a pod, as a gateway or as a waypoint: told by istiod. Beside a pod, all of its TCP is redirected to it but its own. */
import {startEnvoy, type Envoy} from '../envoy/index.ts';
import type {Lab, LabPod} from '../lab/index.ts';
import {XDS_PORT} from './istiod.ts';

/**
 * Istio exempts user and group 1337 from being redirected. Here the group alone: its files and the admin socket stay those of
 * the user that runs the tests.
 */
const PROXY_GROUP = 1337;
const OUTBOUND_PORT = 15001;

export interface Identity {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface ProxyOptions {
  /** As istiod calls it. Default `sidecar`. */
  readonly kind?: 'sidecar' | 'router' | 'waypoint';
  /** The socket at which its agent would serve its certificate (certificates.ts); without it there is no mutual TLS. */
  readonly certificates?: string;
  /** Variables of its container. */
  readonly environment?: Readonly<Record<string, string>>;
  /** A socket that leads to istiod, where it is not on the node. */
  readonly xds?: string;
  /** One of ENVOY_VERSIONS; the newest where absent. */
  readonly envoy?: string;
  /** More of the node's metadata. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Rejects where istiod's configuration is refused, in whole or in part. */
export async function startSidecar(
  lab: Lab,
  pod: LabPod,
  {name, namespace, labels}: Identity,
  istiodIp: string,
  {kind = 'sidecar', certificates, xds, environment = {}, metadata = {}, envoy: version}: ProxyOptions = {},
): Promise<Envoy> {
  const bootstrap = {
    node: {
      id: `${kind}~${pod.ip4}~${name}.${namespace}~${namespace}.svc.cluster.local`,
      cluster: `${name}.${namespace}`,
      metadata: {
        NAMESPACE: namespace,
        NAME: name,
        LABELS: labels,
        INSTANCE_IPS: pod.ips.join(','),
        CLUSTER_ID: 'Kubernetes',
        ISTIO_VERSION: '1.31.0',
        INTERCEPTION_MODE: 'REDIRECT',
        ...metadata,
      },
    },
    bootstrap_extensions: [
      {
        name: 'envoy.bootstrap.internal_listener',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener',
        },
      },
    ],
    dynamic_resources: {
      lds_config: {ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3'},
      cds_config: {ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3'},
      ads_config: {
        api_type: 'GRPC',
        set_node_on_first_message_only: true,
        transport_api_version: 'V3',
        grpc_services: [{envoy_grpc: {cluster_name: 'xds-grpc'}}],
      },
    },
    static_resources: {
      clusters: [
        grpcCluster(
          'xds-grpc',
          xds === undefined ? {socket_address: {address: istiodIp, port_value: XDS_PORT}} : {pipe: {path: xds}},
        ),
        ...(certificates === undefined ? [] : [grpcCluster('sds-grpc', {pipe: {path: certificates}})]),
      ],
    },
  };
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const through = ['env', ...variables, 'setpriv', '--regid', String(PROXY_GROUP), '--clear-groups'];
  const envoy = await startEnvoy(lab, pod, bootstrap, {through, ...(version === undefined ? {} : {version})});
  const rejected = await envoy.stats('update_rejected$');
  const refused = [...rejected].filter(([, count]) => count > 0).map(([name]) => name);
  if (refused.length > 0) {
    const said = envoy.said();
    await envoy.stop();
    throw new Error(`Envoy refuses what istiod sends (${refused.join(', ')}):\n${said}`);
  }
  return envoy;
}

const grpcCluster = (name: string, address: object): object => ({
  name,
  type: 'STATIC',
  connect_timeout: '1s',
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: {http2_protocol_options: {}},
    },
  },
  load_assignment: {cluster_name: name, endpoints: [{lb_endpoints: [{endpoint: {address}}]}]},
});

/** What istio-init does: both families, all ports, but what the proxy itself sends and what stays in the pod. */
export async function redirectPod(lab: Lab, pod: LabPod): Promise<void> {
  const rules = `table inet mesh {
  chain captured {
    type nat hook output priority -100;
    meta skgid ${PROXY_GROUP} return
    oifname "lo" return
    meta l4proto tcp redirect to :${OUTBOUND_PORT}
  }
}
`;
  const {status, stderr} = await lab.exec(pod, ['nft', '-f', '-'], {stdin: rules});
  if (status !== 0) throw new Error(`nft: ${stderr}`);
}
