/**
 * The Envoy of the conformance target, the shapes of samples/envoy put together: one listener takes what is captured, and a
 * connection goes one of these ways:
 *
 *   unseen       passed on as it is, by the policy's tls and tcp rules: asked about once, by address, port and SNI
 *   tls          terminated with a leaf minted on demand: each request is asked about
 *   http         plain HTTP/1 and HTTP/2: each request is asked about
 *   opaque       anything else: asked about once
 *
 * Envoy dials the address that the client dialled, which each question tells; or sends what the answer says through a parent.
 */
import type {Case, DocumentValue, WorkloadSpec} from '../../format/case.ts';
import {
  parentCluster,
  parentClusters,
  parentsOf,
  TUNNEL_TO,
  tunnelCluster,
  tunnelFilter,
  tunnelListeners,
  type Parent,
  type Sends,
} from './parents.ts';
import {INTERNAL, typed, UPSTREAM_HTTP, type Json} from './shapes.ts';
import {unseenConnections, type UnseenConnection} from './unseen.ts';

export interface EnvoyPlaces {
  /** Where captured connections arrive. */
  readonly port: number;
  /** Unix sockets of `sallyport extauthz`. */
  readonly check: string;
  readonly sds: string;
  /** PEM files that hold roots of upstreams. */
  readonly roots: string;
  /** Folder of the two files that Envoy watches. */
  readonly watched: string;
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  readonly ips: (workload: WorkloadSpec) => readonly string[];
}

/** What stays while policies change. */
export function bootstrap(places: EnvoyPlaces): Json {
  const watch = (file: string): Json => ({
    path_config_source: {path: `${places.watched}/${file}`, watched_directory: {path: places.watched}},
    resource_api_version: 'V3',
  });
  return {
    node: {id: 'conformance', cluster: 'sallyport'},
    bootstrap_extensions: [INTERNAL],
    dynamic_resources: {lds_config: watch('listeners.json'), cds_config: watch('clusters.json')},
    static_resources: {
      clusters: [
        service('extauthz', places.check),
        // One stream a name, each a request that never ends; the default lets no more than 1024 be.
        {
          ...service('sds', places.sds),
          circuit_breakers: {thresholds: [{max_requests: 100_000, max_pending_requests: 100_000}]},
        },
        ORIGINAL_DESTINATION,
        {...ORIGINAL_DESTINATION, name: 'direct-http1'},
        {...ORIGINAL_DESTINATION, name: 'direct-tls', ...upstreamTls(places.roots, AUTO)},
        {...ORIGINAL_DESTINATION, name: 'direct-tls-http1', ...upstreamTls(places.roots, HTTP1)},
      ],
    },
  };
}

export interface WatchedFiles {
  readonly listeners: Json;
  readonly clusters: Json;
}

/** What follows the policies: the ways that connections go, and the parents. */
export function watchedFiles(world: Case, documents: readonly DocumentValue[], places: EnvoyPlaces): WatchedFiles {
  const parents = parentsOf(world, documents);
  const unseen = unseenConnections(world, documents, places.addresses);
  return {
    listeners: resources('envoy.config.listener.v3.Listener', [
      capturedListener(places, parents, unseen),
      ...parents.flatMap(tunnelListeners),
    ]),
    clusters: resources(
      'envoy.config.cluster.v3.Cluster',
      parents.flatMap((parent) => parentClusters(parent, places.roots, upstreamTls(places.roots, AUTO))),
    ),
  };
}

const resources = (type: string, all: readonly Json[]): Json => ({resources: all.map((one) => typed(type, one))});

/** A gRPC service of ours on a unix socket. */
const service = (name: string, path: string): Json => ({
  name,
  connect_timeout: '1s',
  typed_extension_protocol_options: {
    [UPSTREAM_HTTP]: typed('envoy.extensions.upstreams.http.v3.HttpProtocolOptions', {
      explicit_http_config: {http2_protocol_options: {}},
    }),
  },
  load_assignment: {cluster_name: name, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path}}}}]}]},
});

const ORIGINAL_DESTINATION: Json = {
  name: 'direct',
  type: 'ORIGINAL_DST',
  lb_policy: 'CLUSTER_PROVIDED',
  connect_timeout: '5s',
};

/** TLS to the server, whose certificate must hold the name that was asked for. */
const AUTO = {auto_config: {http2_protocol_options: {}}};
const HTTP1 = {explicit_http_config: {http_protocol_options: {}}};

const upstreamTls = (roots: string, protocol: Json) => ({
  typed_extension_protocol_options: {
    [UPSTREAM_HTTP]: typed('envoy.extensions.upstreams.http.v3.HttpProtocolOptions', {
      upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true},
      ...protocol,
    }),
  },
  transport_socket: typed.named(
    'envoy.transport_sockets.tls',
    'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
    {max_session_keys: 0, common_tls_context: {validation_context: {trusted_ca: {filename: roots}}}},
  ),
});

function capturedListener(places: EnvoyPlaces, parents: readonly Parent[], unseen: readonly UnseenConnection[]): Json {
  const at = (address: string): Json => ({socket_address: {address, port_value: places.port}});
  const used = parents.filter(({name}) => unseen.some(({via}) => via.kind === 'proxy' && via.proxy === name));
  return {
    name: 'captured',
    address: at('0.0.0.0'),
    additional_addresses: [{address: at('::')}],
    listener_filters: [
      listenerFilter('original_dst', 'original_dst.v3.OriginalDst'),
      listenerFilter('tls_inspector', 'tls_inspector.v3.TlsInspector'),
      listenerFilter('http_inspector', 'http_inspector.v3.HttpInspector'),
    ],
    // No bytes for so long: the server is to speak first.
    listener_filters_timeout: '1s',
    continue_on_listener_filters_timeout: true,
    filter_chain_matcher: chooser(places, unseen),
    filter_chains: [
      {name: 'opaque', filters: [askConnection({}), DIRECT]},
      // A parent that is not there is no reason to go direct.
      {name: 'via-nobody', filters: [askConnection({'sallyport-via': '*'}), NOBODY]},
      ...used.map((parent) => ({
        name: `via-${parent.name}`,
        filters: [
          askConnection({'sallyport-via': parent.name}),
          tunnelFilter(parent, '%REQUESTED_SERVER_NAME%:%DOWNSTREAM_LOCAL_PORT%', `via-${parent.name}`),
        ],
      })),
      ...used.map((parent) => ({
        name: `bytes-via-${parent.name}`,
        filters: [
          askConnection({'sallyport-via': parent.name}),
          tunnelFilter(parent, '%DOWNSTREAM_LOCAL_ADDRESS%', `bytes-via-${parent.name}`),
        ],
      })),
      {name: 'http', filters: [httpConnection('http', parents)]},
      {
        name: 'tls',
        transport_socket_connect_timeout: '5s',
        transport_socket: typed.named(
          'envoy.transport_sockets.tls',
          'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
          {
            // A resumed session would not show the leaf, and with it whose it is.
            disable_stateless_session_resumption: true,
            disable_stateful_session_resumption: true,
            common_tls_context: {
              alpn_protocols: ['h2', 'http/1.1'],
              custom_tls_certificate_selector: ON_DEMAND,
            },
          },
        ),
        filters: [NAME_IS_SNI, httpConnection('https', parents)],
      },
    ],
  };
}

/** The server's TLS is by the SNI, which Host agrees with but for capitals, a dot or a port. Not the TLS to a parent: it is not handed on. */
const NAME_IS_SNI = typed.named(
  'envoy.filters.network.set_filter_state',
  'envoy.extensions.filters.network.set_filter_state.v3.Config',
  {
    on_new_connection: ['envoy.network.upstream_server_name', 'envoy.network.upstream_subject_alt_names'].map(
      (key) => ({
        object_key: key,
        format_string: {text_format_source: {inline_string: '%REQUESTED_SERVER_NAME%'}, omit_empty_values: true},
        skip_if_empty: true,
      }),
    ),
  },
);

const listenerFilter = (name: string, type: string): Json =>
  typed.named(`envoy.filters.listener.${name}`, `envoy.extensions.filters.listener.${type}`, {});

const ON_DEMAND = typed.named(
  'envoy.tls.certificate_selectors.on_demand_secret',
  'envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config',
  {
    config_source: {
      resource_api_version: 'V3',
      api_config_source: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [{envoy_grpc: {cluster_name: 'sds'}}],
      },
    },
    certificate_mapper: typed.named(
      'envoy.tls.certificate_mappers.sni',
      'envoy.extensions.transport_sockets.tls.cert_mappers.sni.v3.SNI',
      {default_value: '_no_sni_'},
    ),
  },
);

/** The first that holds: what passes unseen, then by what the first bytes are. */
function chooser(places: EnvoyPlaces, unseen: readonly UnseenConnection[]): Json {
  const chain = ({sni, via}: UnseenConnection): string => {
    if (via.kind === 'direct') return 'opaque';
    if (via.kind === 'missing') return 'via-nobody';
    return sni !== null && via.sends === 'name' ? `via-${via.proxy}` : `bytes-via-${via.proxy}`;
  };
  const is = (input: string, value: string): Json => ({
    single_predicate: {
      input: typed.named(input, `envoy.extensions.matching.common_inputs.network.v3.${input}`, {}),
      value_match: {exact: value},
    },
  });
  const any = (all: readonly Json[]): Json => (all.length === 1 ? all[0]! : {or_matcher: {predicate: all}});
  const all = (list: readonly Json[]): Json => ({and_matcher: {predicate: list}});
  const to = (name: string): Json => ({
    action: {name, typed_config: {'@type': 'type.googleapis.com/google.protobuf.StringValue', value: name}},
  });
  return {
    matcher_list: {
      matchers: [
        ...unseen.map((one) => ({
          predicate: all([
            any(places.ips(one.workload).map((ip) => is('SourceIPInput', ip))),
            is('DestinationIPInput', one.ip),
            is('DestinationPortInput', String(one.port)),
            ...(one.sni === null ? [] : [is('ServerNameInput', one.sni)]),
          ]),
          on_match: to(chain(one)),
        })),
        {predicate: is('TransportProtocolInput', 'tls'), on_match: to('tls')},
        {
          predicate: any(["'http/1.0'", "'http/1.1'", "'h2c'"].map((one) => is('ApplicationProtocolInput', one))),
          on_match: to('http'),
        },
      ],
    },
    on_no_match: to('opaque'),
  };
}

/** How long Envoy waits for an answer: longer than any lookup, on a machine that does much else. */
const ASK_TIMEOUT = '5s';

const asking = (told: Readonly<Record<string, string>>): Json => ({
  timeout: ASK_TIMEOUT,
  envoy_grpc: {cluster_name: 'extauthz', authority: 'extauthz'},
  initial_metadata: Object.entries(told).map(([key, value]) => ({key, value})),
});

/** Before anything is dialled. */
const askConnection = (told: Readonly<Record<string, string>>): Json =>
  typed.named('envoy.filters.network.ext_authz', 'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz', {
    stat_prefix: 'ask',
    transport_api_version: 'V3',
    failure_mode_allow: false,
    include_tls_session: true,
    grpc_service: asking(told),
  });

const DIRECT = typed.named(
  'envoy.filters.network.tcp_proxy',
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  {
    stat_prefix: 'direct',
    cluster: 'direct',
    // Otherwise the upstream is dialled, and its banner delivered, before the answer is there.
    upstream_connect_mode: 'ON_DOWNSTREAM_DATA',
    max_early_data_bytes: 8192,
  },
);

const NOBODY = typed.named(
  'envoy.filters.network.tcp_proxy',
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  {
    stat_prefix: 'nobody',
    cluster: 'nobody',
  },
);

function httpConnection(scheme: 'http' | 'https', parents: readonly Parent[]): Json {
  return typed.named(
    'envoy.filters.network.http_connection_manager',
    'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    {
      stat_prefix: scheme,
      access_log: [ACCESS_LOG],
      // What a client says of itself in x-forwarded-for is not heeded, and nothing is added for servers outside.
      use_remote_address: true,
      skip_xff_append: true,
      generate_request_id: false,
      server_header_transformation: 'PASS_THROUGH',
      // The request is judged in all readings, and sent on as it came.
      normalize_path: false,
      merge_slashes: false,
      path_with_escaped_slashes_action: 'KEEP_UNCHANGED',
      strip_any_host_port: false,
      // A refused request gets no 100.
      proxy_100_continue: true,
      stream_idle_timeout: '300s',
      upgrade_configs: [{upgrade_type: 'websocket'}],
      http2_protocol_options: {allow_connect: true},
      local_reply_config: LOCAL_REPLIES,
      http_filters: [
        typed.named('envoy.filters.http.ext_authz', 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz', {
          transport_api_version: 'V3',
          failure_mode_allow: false,
          status_on_error: {code: 'ServiceUnavailable'},
          include_tls_session: true,
          encode_raw_headers: true,
          validate_mutations: true,
          grpc_service: asking({'sallyport-scheme': scheme, 'sallyport-via': '*'}),
        }),
        chooseRoute(scheme),
        typed.named('envoy.filters.http.router', 'envoy.extensions.filters.http.router.v3.Router', {
          suppress_envoy_headers: true,
        }),
      ],
      route_config: routes(scheme, parents),
    },
  );
}

/** Where tunnels are to lead, told to the listener that opens them; and the route is chosen anew, by what the answer says. */
const chooseRoute = (scheme: 'http' | 'https'): Json => {
  const keep = (key: string, text: string): Json => ({
    object_key: key,
    factory_key: 'envoy.hashable_string',
    format_string: {text_format_source: {inline_string: text}, omit_empty_values: true},
    shared_with_upstream: 'TRANSITIVE',
    skip_if_empty: true,
  });
  return typed.named(
    'envoy.filters.http.set_filter_state',
    'envoy.extensions.filters.http.set_filter_state.v3.Config',
    {
      on_request_headers: [
        keep(
          TUNNEL_TO.name,
          `${scheme === 'https' ? '%REQUESTED_SERVER_NAME%' : '%REQ(:AUTHORITY)%'}:%DOWNSTREAM_LOCAL_PORT%`,
        ),
        keep(TUNNEL_TO.address, '%DYNAMIC_METADATA(envoy.filters.http.ext_authz:dial)%'),
        keep(PORT, '%DOWNSTREAM_LOCAL_PORT%'),
      ],
      clear_route_cache: true,
    },
  );
};

/** The parent that the answer names, and what it may be told. */
const answered = (key: 'via' | 'sends', match: Json): Json => ({
  filter: 'envoy.filters.http.ext_authz',
  path: [{key}],
  value: match,
});

const WEBSOCKET = {name: 'upgrade', string_match: {exact: 'websocket', ignore_case: true}};

function routes(scheme: 'http' | 'https', parents: readonly Parent[]): Json {
  const direct = {cluster: scheme === 'http' ? 'direct' : 'direct-tls', timeout: '0s'};
  return {
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        request_headers_to_remove: [
          'x-forwarded-proto',
          'x-request-id',
          'x-envoy-internal',
          'x-envoy-external-address',
        ],
        routes: [
          ...parents.flatMap((parent) => {
            const via = answered('via', {string_match: {exact: parent.name}});
            const tunnel = (sends: Sends): Json => ({
              route: {cluster: tunnelCluster(parent, scheme, sends), timeout: '0s'},
            });
            return [
              {
                match: {prefix: '/', dynamic_metadata: [via, answered('sends', {string_match: {exact: 'address'}})]},
                ...tunnel('address'),
              },
              ...(scheme === 'http'
                ? PORT_IS_SAID.map((said) => ({
                    match: {prefix: '/', dynamic_metadata: [via], ...said},
                    ...absoluteForm(parent),
                  }))
                : []),
              {match: {prefix: '/', dynamic_metadata: [via]}, ...tunnel('name')},
            ];
          }),
          // A parent that is not there is no reason to go direct.
          {
            match: {prefix: '/', dynamic_metadata: [answered('via', {present_match: true})]},
            direct_response: {
              status: 502,
              body: {inline_string: 'UpstreamUnreachable: there is no such parent proxy\n'},
            },
          },
          // Few servers speak WebSocket over HTTP/2 (RFC 8441).
          {match: {prefix: '/', headers: [WEBSOCKET]}, route: {cluster: `${direct.cluster}-http1`, timeout: '0s'}},
          {match: {prefix: '/'}, route: direct},
          {match: {path: '*'}, route: direct},
        ],
      },
    ],
  };
}

const PORT = 'sallyport.port';
/** Where a parent reads the port that was dialled out of the URL: else it would take 80. */
const PORT_IS_SAID: readonly Json[] = [
  {filter_state: [{key: PORT, string_match: {exact: '80'}}]},
  {headers: [{name: ':authority', string_match: {safe_regex: {regex: '.*:[0-9]+'}}}]},
];

/** Plain HTTP by name: the request itself goes to the parent, with our credentials. */
const absoluteForm = (parent: Parent): Json => ({
  route: {cluster: parentCluster(parent), timeout: '0s'},
  ...(parent.authorization === null
    ? {}
    : {
        request_headers_to_add: [
          {
            header: {key: 'proxy-authorization', value: parent.authorization},
            append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
          },
        ],
      }),
});

const ACCESS_LOG = typed.named('envoy.access_loggers.file', 'envoy.extensions.access_loggers.file.v3.FileAccessLog', {
  path: '/dev/stdout',
  log_format: {
    json_format: {
      source: '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%',
      destination: '%DOWNSTREAM_LOCAL_ADDRESS%',
      sni: '%REQUESTED_SERVER_NAME%',
      host: '%REQ(:AUTHORITY)%',
      method: '%REQ(:METHOD)%',
      status: '%RESPONSE_CODE%',
      details: '%RESPONSE_CODE_DETAILS%',
      flags: '%RESPONSE_FLAGS%',
      upstream: '%UPSTREAM_HOST%',
      transport: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
      decision: '%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%',
    },
  },
});

/** Failures of the upstream, told as tproxy tells them: 502 and why. */
const LOCAL_REPLIES: Json = {
  mappers: [
    {
      filter: {
        response_flag_filter: {flags: ['UF', 'UC', 'UH', 'URX', 'UPE']},
      },
      status_code: 502,
    },
  ],
};
