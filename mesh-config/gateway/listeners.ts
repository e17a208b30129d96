/** The gateway's two listeners: one that sidecars reach by mutual TLS, and one for what is inside of their tunnels. */
import type {MeshEgressDocument} from '../../policy/index.ts';
import {accessLog} from '../access-log.ts';
import {ANSWERED_TO_EXIT} from '../chain/connections.ts';
import {throughAny, type Chain} from '../chain/parents.ts';
import {CHOOSE_AGAIN, decryptedRoutes, requestRoutes} from '../chain/requests.ts';
import {extauthzAt, httpCheck, networkCheck, type, type Says} from '../check.ts';
import {connectionManager} from '../http.ts';
import {answered, UNANSWERED} from './answered.ts';
import {CLUSTER} from './clusters.ts';
import {meshServer} from './mesh-tls.ts';
import {DIALLED_HEADER} from './way.ts';

type Value = Readonly<Record<string, unknown>>;

export const INSIDE = 'sallyport_inside';
const CHECK = 'envoy.filters.http.ext_authz';
const TLS_CHAIN_TIMEOUT = '5s';
/** Who says nothing for so long is closed: the Check would know nothing of what is to come. */
const FIRST_BYTES_TIMEOUT = '5s';
/** What a client may say before the decision is there: a ClientHello with post-quantum keys is 2 KB. */
const MAX_EARLY_DATA_BYTES = 8192;
const PRINCIPAL = 'sallyport.principal';
const DESTINATION = 'sallyport.destination';

/** What a sidecar writes into a request for others of the mesh to read; outside it tells who is inside. */
const MESH_HEADERS = [
  'x-forwarded-client-cert',
  'x-envoy-peer-metadata',
  'x-envoy-peer-metadata-id',
  'x-envoy-decorator-operation',
  'x-envoy-attempt-count',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-original-dst-host',
];

const toHttp = (cluster: string) => [{match: {prefix: '/'}, route: {cluster, timeout: '0s'}}];

/** Plain HTTP comes by itself, everything else in a CONNECT with the address that the client dialled. */
export const outerListener = (mesh: MeshEgressDocument, chain: Chain | null): Value => ({
  name: 'sallyport_egress',
  address: {socket_address: {address: '0.0.0.0', port_value: mesh.egressGateway.port}},
  filter_chains: [
    {
      transport_socket_connect_timeout: TLS_CHAIN_TIMEOUT,
      transport_socket: meshServer(mesh.istio.trustDomain),
      filters: [
        connectionManager(
          'sallyport_egress',
          [
            FOR_INSIDE,
            ...asked(mesh, chain, {
              ...DIALS_ANSWER,
              'sallyport-scheme': 'http',
              'sallyport-destination': `%FILTER_STATE(${DESTINATION}:PLAIN)%`,
            }),
          ],
          [
            {
              match: {connect_matcher: {}},
              // It leads nowhere but to the listener inside, which asks about every request and connection in the tunnel.
              typed_per_filter_config: {
                ...UNANSWERED,
                [CHECK]: {
                  '@type': type('envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute'),
                  disabled: true,
                },
              },
              route: {
                cluster: CLUSTER.inside,
                timeout: '0s',
                upgrade_configs: [{upgrade_type: 'CONNECT', connect_config: {}}],
              },
            },
            ...(chain === null ? [] : requestRoutes(chain)),
            ...toHttp(CLUSTER.http),
          ],
          [...MESH_HEADERS, DIALLED_HEADER],
          // The TLS is the mesh's own: a parent is told `http://`.
          {scheme_header_transformation: {scheme_to_overwrite: 'http'}},
        ),
      ],
    },
  ],
});

/** Every cluster dials the address in the answer (clusters.ts), and what the client dialled is told. */
const DIALS_ANSWER = {'sallyport-dials': 'answer'};

/** The question, and where there are parents the choice that its answer makes among them. */
const asked = (mesh: MeshEgressDocument, chain: Chain | null, says: Says): readonly Value[] =>
  chain === null
    ? [httpCheck(mesh, CHECK, says), answered('http', ['dial'])]
    : [httpCheck(mesh, CHECK, throughAny(says)), answered('http', ['dial', 'via']), CHOOSE_AGAIN];

/** Whose connection it is and where it was going, for the listener inside. */
const FOR_INSIDE: Value = {
  name: 'envoy.filters.http.set_filter_state',
  typed_config: {
    '@type': type('envoy.extensions.filters.http.set_filter_state.v3.Config'),
    on_request_headers: [
      {
        object_key: PRINCIPAL,
        factory_key: 'envoy.string',
        format_string: {text_format_source: {inline_string: '%DOWNSTREAM_PEER_URI_SAN%'}},
        shared_with_upstream: 'ONCE',
      },
      {
        object_key: DESTINATION,
        factory_key: 'envoy.string',
        // Where nobody wrote it this is `-`, which is no address: refused.
        format_string: {text_format_source: {inline_string: `%REQ(${DIALLED_HEADER})%`}},
      },
      {
        object_key: 'envoy.filters.listener.original_dst.remote_ip',
        format_string: {text_format_source: {inline_string: '%DOWNSTREAM_REMOTE_ADDRESS%'}},
        shared_with_upstream: 'ONCE',
      },
      {
        object_key: 'envoy.filters.listener.original_dst.local_ip',
        format_string: {text_format_source: {inline_string: '%REQ(:AUTHORITY)%'}},
        shared_with_upstream: 'ONCE',
      },
    ],
  },
};

/** It has no address: nothing but the outer listener gets here. */
export function innerListener(mesh: MeshEgressDocument, chain: Chain | null): Value {
  const {inspect} = mesh.egressGateway;
  const listenerFilter = (name: string, message: string): Value => ({
    name: `envoy.filters.listener.${name}`,
    typed_config: {'@type': type(`envoy.extensions.filters.listener.${name}.v3.${message}`)},
  });
  return {
    name: INSIDE,
    internal_listener: {},
    listener_filters_timeout: FIRST_BYTES_TIMEOUT,
    listener_filters: [
      listenerFilter('original_dst', 'OriginalDst'),
      listenerFilter('tls_inspector', 'TlsInspector'),
      listenerFilter('http_inspector', 'HttpInspector'),
    ],
    filter_chains: [
      ...(inspect === null ? [] : inspected(mesh, inspect, chain)),
      ...(inspect?.hosts.includes('*') === true ? [] : [passed(mesh, {transport_protocol: 'tls'}, 'tls', chain)]),
      {
        name: 'http',
        filter_chain_match: {application_protocols: ['http/1.0', 'http/1.1', 'h2c']},
        filters: [
          connectionManager(
            'sallyport_http',
            asked(mesh, chain, says('http')),
            [...(chain === null ? [] : requestRoutes(chain)), ...toHttp(CLUSTER.http)],
            MESH_HEADERS,
          ),
        ],
      },
    ],
    default_filter_chain: {name: 'tcp', filters: carried(mesh, 'tcp', chain)},
  };
}

/** What the client dialled is the destination of the connection in the tunnel; for whom the outer listener has seen. */
const says = (scheme: 'https' | 'http' | 'tls' | 'tcp'): Says => ({
  ...DIALS_ANSWER,
  'sallyport-scheme': scheme,
  'sallyport-principal': `%FILTER_STATE(${PRINCIPAL}:PLAIN)%`,
});

function carried(mesh: MeshEgressDocument, scheme: 'tls' | 'tcp', chain: Chain | null): readonly Value[] {
  return [
    networkCheck(mesh, chain === null ? says(scheme) : throughAny(says(scheme))),
    answered('network', chain === null ? ['dial'] : ['dial', 'via']),
    {
      name: 'envoy.filters.network.tcp_proxy',
      typed_config: {
        '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
        stat_prefix: `sallyport_${scheme}`,
        ...(chain === null ? {cluster: CLUSTER.tcp} : ANSWERED_TO_EXIT),
        access_log: [accessLog()],
        // By itself tcp_proxy dials at once: a denied client would already have the server's first words.
        upstream_connect_mode: 'ON_DOWNSTREAM_DATA',
        max_early_data_bytes: MAX_EARLY_DATA_BYTES,
      },
    },
  ];
}

const passed = (mesh: MeshEgressDocument, match: Value, name: string, chain: Chain | null): Value => ({
  name,
  filter_chain_match: match,
  filters: carried(mesh, 'tls', chain),
});

type Inspect = NonNullable<MeshEgressDocument['egressGateway']['inspect']>;

/** Decrypted; what is excepted stands before it, for Envoy takes the chain whose name fits best. */
function inspected(mesh: MeshEgressDocument, inspect: Inspect, chain: Chain | null): readonly Value[] {
  const all = inspect.hosts.includes('*');
  const match = (hosts: readonly string[]): Value => ({transport_protocol: 'tls', server_names: [...hosts]});
  const filters = [
    NAME_IS_SNI,
    connectionManager(
      'sallyport_https',
      asked(mesh, chain, says('https')),
      [
        ...(chain === null ? [] : decryptedRoutes()),
        {
          match: {
            prefix: '/',
            headers: [{name: 'upgrade', string_match: {exact: 'websocket', ignore_case: true}}],
          },
          route: {cluster: CLUSTER.httpsWebSocket, timeout: '0s'},
        },
        ...toHttp(CLUSTER.https),
      ],
      MESH_HEADERS,
    ),
  ];
  const decrypted = {
    name: 'inspected',
    filter_chain_match: all ? {transport_protocol: 'tls'} : match(inspect.hosts),
    transport_socket_connect_timeout: TLS_CHAIN_TIMEOUT,
    transport_socket: minted(mesh, inspect),
    filters,
  };
  if (inspect.except.length === 0) return [decrypted];
  return [decrypted, passed(mesh, match(inspect.except), 'excepted', chain)];
}

/**
 * The server is asked for, and has to show, the name of the SNI: Host agrees with it but for capitals, a dot or a port, which are
 * in no certificate.
 */
const NAME_IS_SNI: Value = {
  name: 'envoy.filters.network.set_filter_state',
  typed_config: {
    '@type': type('envoy.extensions.filters.network.set_filter_state.v3.Config'),
    on_new_connection: ['envoy.network.upstream_server_name', 'envoy.network.upstream_subject_alt_names'].map(
      (key) => ({
        object_key: key,
        format_string: {text_format_source: {inline_string: '%REQUESTED_SERVER_NAME%'}, omit_empty_values: true},
        skip_if_empty: true,
      }),
    ),
  },
};

/** A certificate for each name, from extauthz, when the first client asks for it. */
const minted = (mesh: MeshEgressDocument, {port}: Inspect): Value => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: {
    '@type': type('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext'),
    // A resumed session would skip the choice of a certificate, and with it the question whether there is one.
    disable_stateless_session_resumption: true,
    disable_stateful_session_resumption: true,
    common_tls_context: {
      alpn_protocols: ['h2', 'http/1.1'],
      custom_tls_certificate_selector: {
        name: 'envoy.tls.certificate_selectors.on_demand_secret',
        typed_config: {
          '@type': type('envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config'),
          config_source: {
            resource_api_version: 'V3',
            api_config_source: {
              api_type: 'DELTA_GRPC',
              transport_api_version: 'V3',
              grpc_services: [{envoy_grpc: extauthzAt(mesh, port)}],
            },
          },
          certificate_mapper: {
            name: 'envoy.tls.certificate_mappers.sni',
            typed_config: {
              '@type': type('envoy.extensions.transport_sockets.tls.cert_mappers.sni.v3.SNI'),
              default_value: '_no_sni_',
            },
          },
        },
      },
    },
  },
});
