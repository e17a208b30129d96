/** Mutual TLS of the mesh, as istiod writes it for proxies: the workload's own certificate, and the mesh's roots. */
import {type} from '../check.ts';

type Value = Readonly<Record<string, unknown>>;

/** The agent beside each proxy serves the certificate under these names (Istio, security/pkg/nodeagent). */
const secret = (name: 'default' | 'ROOTCA'): Value => ({
  name,
  sds_config: {
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      grpc_services: [{envoy_grpc: {cluster_name: 'sds-grpc'}}],
    },
    initial_fetch_timeout: '0s',
    resource_api_version: 'V3',
  },
});

/** For who is called: callers have to show a certificate of this trust domain. */
export const meshServer = (trustDomain: string): Value => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: {
    '@type': type('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext'),
    require_client_certificate: true,
    common_tls_context: {
      tls_certificate_sds_secret_configs: [secret('default')],
      combined_validation_context: {
        default_validation_context: {
          match_typed_subject_alt_names: [{san_type: 'URI', matcher: {prefix: `spiffe://${trustDomain}/`}}],
        },
        validation_context_sds_secret_config: secret('ROOTCA'),
      },
    },
  },
});
