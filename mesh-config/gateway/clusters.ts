/** What the gateway dials: the address that the Check answered, whatever the client dialled or a resolver says by now. */
import {exitClusters} from '../chain/connections.ts';
import {parentEndpoints, type Chain} from '../chain/parents.ts';
import {tunnelClusterFor} from '../chain/requests.ts';
import {type} from '../check.ts';

type Value = Readonly<Record<string, unknown>>;

export const CLUSTER = {
  inside: 'sallyport_inside',
  http: 'sallyport_checked_http',
  tcp: 'sallyport_checked_tcp',
  https: 'sallyport_checked_https',
  httpsWebSocket: 'sallyport_checked_https_websocket',
} as const;

const TLS = 'envoy.extensions.transport_sockets.tls.v3';
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const CONNECT_TIMEOUT = '10s';
/** Apache and Node close what is idle after five seconds: a request that is sent just then is lost, and must not be sent twice. */
const IDLE_TIMEOUT = '4s';

const checked = (name: string, filter: 'http' | 'network', more: Value = {}): Value => ({
  name,
  type: 'ORIGINAL_DST',
  lb_policy: 'CLUSTER_PROVIDED',
  connect_timeout: CONNECT_TIMEOUT,
  original_dst_lb_config: {metadata_key: {key: `envoy.filters.${filter}.ext_authz`, path: [{key: 'dial'}]}},
  ...more,
});

const options = (protocols: Value): Value => ({
  typed_extension_protocol_options: {
    [HTTP_OPTIONS]: {
      '@type': type(HTTP_OPTIONS),
      common_http_protocol_options: {idle_timeout: IDLE_TIMEOUT},
      ...protocols,
    },
  },
});

const HTTP1 = {explicit_http_config: {http_protocol_options: {}}};

/** SNI and the name in the server's certificate are the client's SNI (listeners.ts), which the Check has held against the request's host. */
const verified = (trust: string, protocols: Value): Value => ({
  ...options({upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}, ...protocols}),
  transport_socket: {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': type(`${TLS}.UpstreamTlsContext`),
      max_session_keys: 0,
      common_tls_context: {validation_context: {trusted_ca: {filename: trust}}},
    },
  },
});

/** To the listener that sees what is inside of tunnels. */
const inside = (listener: string): Value => ({
  name: CLUSTER.inside,
  connect_timeout: '1s',
  load_assignment: {
    cluster_name: CLUSTER.inside,
    endpoints: [{lb_endpoints: [{endpoint: {address: {envoy_internal_address: {server_listener_name: listener}}}}]}],
  },
  transport_socket: {
    name: 'envoy.transport_sockets.internal_upstream',
    typed_config: {
      '@type': type('envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport'),
      transport_socket: {
        name: 'envoy.transport_sockets.raw_buffer',
        typed_config: {'@type': type('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer')},
      },
    },
  },
});

/** `trust`: the file of roots by which servers are verified; null: nothing is decrypted. */
export function gatewayClusters(insideListener: string, trust: string | null, chain: Chain | null): readonly Value[] {
  const http2 = trust === null ? null : verified(trust, {auto_config: {http2_protocol_options: {}}});
  // Few servers speak WebSocket over HTTP/2 (RFC 8441).
  const http1 = trust === null ? null : verified(trust, HTTP1);
  return [
    inside(insideListener),
    checked(CLUSTER.http, 'http', options(HTTP1)),
    ...(chain === null ? [checked(CLUSTER.tcp, 'network')] : []),
    ...(http2 === null ? [] : [checked(CLUSTER.https, 'http', http2)]),
    ...(http1 === null ? [] : [checked(CLUSTER.httpsWebSocket, 'http', http1)]),
    ...(chain === null
      ? []
      : [
          ...chain.parents.map(parentEndpoints),
          ...exitClusters(chain),
          tunnelClusterFor('http', options(HTTP1)),
          ...(http2 === null ? [] : [tunnelClusterFor('https', http2)]),
          ...(http1 === null ? [] : [tunnelClusterFor('https_websocket', http1)]),
        ]),
  ];
}
