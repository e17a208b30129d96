/** The question that Envoy asks: the parts of its configuration that are the same wherever it asks. */
import type {MeshEgressDocument} from '../policy/index.ts';

type Value = Readonly<Record<string, unknown>>;

export const type = (name: string): string => `type.googleapis.com/${name}`;
const EXTENSIONS = 'envoy.extensions.filters';

/** The Service's host name in the mesh. */
export const extauthzHost = ({extauthz}: MeshEgressDocument): string =>
  `${extauthz.name}.${extauthz.namespace}.svc.cluster.local`;

/** What Envoy tells of itself with each question (docs/EXTAUTHZ.md). */
export type Says = Readonly<Record<string, string>>;

/** An `envoy_grpc` to one of extauthz's ports. */
export const extauthzAt = (mesh: MeshEgressDocument, port: number): Value => ({
  cluster_name: `outbound|${port}||${extauthzHost(mesh)}`,
  // Without an authority it is the cluster's name, and `|` is no part of one: every question would fail.
  authority: extauthzHost(mesh),
});

function grpcService(mesh: MeshEgressDocument, says: Says): Value {
  const metadata = Object.entries(says).map(([key, value]) => ({key, value}));
  return {
    timeout: `${mesh.extauthz.timeoutMs / 1000}s`,
    envoy_grpc: extauthzAt(mesh, mesh.extauthz.port),
    ...(metadata.length === 0 ? {} : {initial_metadata: metadata}),
  };
}

/** For HTTP. `name` tells two of them in one chain apart, for settings of routes. */
export function httpCheck(mesh: MeshEgressDocument, name: string, says: Says = {}): Value {
  return {
    name,
    typed_config: {
      '@type': type(`${EXTENSIONS}.http.ext_authz.v3.ExtAuthz`),
      transport_api_version: 'V3',
      failure_mode_allow: false,
      status_on_error: {code: 'ServiceUnavailable'},
      include_tls_session: true,
      encode_raw_headers: true,
      validate_mutations: true,
      grpc_service: grpcService(mesh, says),
    },
  };
}

/** For connections. */
export function networkCheck(mesh: MeshEgressDocument, says: Says = {}): Value {
  return {
    name: 'envoy.filters.network.ext_authz',
    typed_config: {
      '@type': type(`${EXTENSIONS}.network.ext_authz.v3.ExtAuthz`),
      stat_prefix: 'sallyport',
      transport_api_version: 'V3',
      failure_mode_allow: false,
      include_tls_session: true,
      grpc_service: grpcService(mesh, says),
    },
  };
}
