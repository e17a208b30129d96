/** Envoy as Istio starts it beside a pod: told by istiod, all of the pod's TCP redirected to it but its own. */
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

/** Rejects where istiod's configuration is refused, in whole or in part. */
export async function startSidecar(
  lab: Lab,
  pod: LabPod,
  {name, namespace, labels}: Identity,
  istiodIp: string,
): Promise<Envoy> {
  const bootstrap = {
    node: {
      id: `sidecar~${pod.ip4}~${name}.${namespace}~${namespace}.svc.cluster.local`,
      cluster: `${name}.${namespace}`,
      metadata: {
        NAMESPACE: namespace,
        NAME: name,
        LABELS: labels,
        INSTANCE_IPS: pod.ips.join(','),
        CLUSTER_ID: 'Kubernetes',
        ISTIO_VERSION: '1.31.0',
        INTERCEPTION_MODE: 'REDIRECT',
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
    static_resources: {clusters: [xdsCluster(istiodIp)]},
  };
  const through = ['setpriv', '--regid', String(PROXY_GROUP), '--clear-groups'];
  const envoy = await startEnvoy(lab, pod, bootstrap, {through});
  const rejected = await envoy.stats('update_rejected$');
  const refused = [...rejected].filter(([, count]) => count > 0).map(([name]) => name);
  if (refused.length > 0) {
    const said = envoy.said();
    await envoy.stop();
    throw new Error(`Envoy refuses what istiod sends (${refused.join(', ')}):\n${said}`);
  }
  return envoy;
}

function xdsCluster(ip: string): object {
  const socketAddress = {socket_address: {address: ip, port_value: XDS_PORT}};
  return {
    name: 'xds-grpc',
    type: 'STATIC',
    connect_timeout: '1s',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: {http2_protocol_options: {}},
      },
    },
    load_assignment: {
      cluster_name: 'xds-grpc',
      endpoints: [{lb_endpoints: [{endpoint: {address: socketAddress}}]}],
    },
  };
}

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
