/** Every way out of a pod through its sidecar is asked about before anything is dialled. */
import type {MeshEgressDocument} from '../policy/index.ts';
import {httpCheck, networkCheck, type} from './check.ts';
import {istioObject, workloadSelector, type Generated, type Scope} from './objects.ts';
import {PRIORITY} from './priorities.ts';

const HTTP = 'envoy.filters.network.http_connection_manager';
const TCP_PROXY = 'envoy.filters.network.tcp_proxy';

/** What a client may say before the decision is there, held back by Envoy: a ClientHello with post-quantum keys is 2 KB. */
const MAX_EARLY_DATA_BYTES = 8192;

const context = 'SIDECAR_OUTBOUND';
const withFilter = (name: string): object => ({context, listener: {filterChain: {filter: {name}}}});

export function sidecarFilters(mesh: MeshEgressDocument, scope: Scope): readonly Generated[] {
  const filter = (name: string, why: string, configPatches: readonly object[]): Generated => ({
    why,
    object: istioObject(
      mesh,
      'networking.istio.io/v1alpha3',
      'EnvoyFilter',
      `sallyport-${name}${scope.suffix}`,
      scope.namespace,
      {...workloadSelector(scope), priority: PRIORITY.sidecar, configPatches},
    ),
  });
  return [
    filter(
      'sidecar-http',
      'Each HTTP request is asked about with its method, host, path and headers. First of all filters, so that nothing is looked up or changed before.',
      [
        {
          applyTo: 'HTTP_FILTER',
          match: withFilter(HTTP),
          patch: {operation: 'INSERT_FIRST', value: httpCheck(mesh, 'envoy.filters.http.ext_authz', DIALS_ADDRESS)},
        },
      ],
    ),
    filter(
      'sidecar-tcp',
      'Each other connection is asked about: TLS by the name in its ClientHello, anything else by address and port. Without this, HTTP on a port that no service has and all TLS would leave unasked.',
      [
        {
          applyTo: 'NETWORK_FILTER',
          match: withFilter(TCP_PROXY),
          patch: {operation: 'INSERT_BEFORE', value: networkCheck(mesh, DIALS_ADDRESS)},
        },
        {
          applyTo: 'NETWORK_FILTER',
          match: withFilter(TCP_PROXY),
          patch: {operation: 'MERGE', value: DIAL_AFTER_DECISION},
        },
        {
          applyTo: 'LISTENER_FILTER',
          match: {context, listener: {name: 'virtualOutbound'}},
          patch: {operation: 'ADD', value: TLS_INSPECTOR},
        },
      ],
    ),
  ];
}

/** A sidecar sends to where the client dialled: that address has to be one of the name's. */
export const DIALS_ADDRESS = {'sallyport-dials': 'address'};

/** tcp_proxy dials at once by itself: a denied client would already have the server's first words, and the server the client's address. */
export const DIAL_AFTER_DECISION = {
  name: TCP_PROXY,
  typed_config: {
    '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
    upstream_connect_mode: 'ON_DOWNSTREAM_DATA',
    max_early_data_bytes: MAX_EARLY_DATA_BYTES,
  },
};

/** On a port without a service nobody else looks for the name in a ClientHello. */
const TLS_INSPECTOR = {
  name: 'envoy.filters.listener.tls_inspector',
  typed_config: {'@type': type('envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector')},
};
