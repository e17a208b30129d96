/** The UpstreamProxies that the mesh itself sends through: as Envoy's clusters, and the names by which the parts of a chain find each other. */
import type {UpstreamProxyDocument} from '../../policy/index.ts';
import {parseAddress} from '../../policy/index.ts';
import {type, type Says} from '../check.ts';

type Value = Readonly<Record<string, unknown>>;

/** One parent, with what only the mesh has to know of it. */
export interface ChainedParent {
  readonly document: UpstreamProxyDocument;
  /** Every address of its endpoints' names; null: Envoy looks them up. */
  readonly addresses: readonly string[] | null;
  /** A file in the proxy's container: the roots by which a parent that speaks TLS is verified. */
  readonly trust: string;
}

export interface Chain {
  readonly parents: readonly ChainedParent[];
  /** Whether what leaves directly may go to a destination of which the mesh knows no service. */
  readonly directAnywhere: boolean;
}

/** For chains of filters that send where the answer says. Elsewhere it must not be said: what leaves through a parent is refused there. */
export const throughAny = (asked: Says): Says => ({...asked, 'sallyport-via': '*'});

const part = (what: string, {document}: ChainedParent): string => `sallyport_${what}_${document.name}`;
/** The parent itself: a CONNECT, or a plain request with its whole URL. */
export const parentCluster = (parent: ChainedParent): string => part('parent', parent);

/**
 * The variable of the proxy's container that holds `Basic …`: what is written into the configuration, every program in the pod
 * could read from Envoy's admin port.
 */
export const credentialsVariable = ({name}: {readonly name: string}): string =>
  `SALLYPORT_PROXY_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`;

/** What a request to the parent gets: its credentials, or else none; a client's own are for nobody here (RFC 9110 §11.7.2). */
export const credentials = (parent: ChainedParent): Value =>
  parent.document.auth === null
    ? {request_headers_to_remove: ['proxy-authorization']}
    : {
        request_headers_to_add: [
          {
            header: {key: 'proxy-authorization', value: `%ENVIRONMENT(${credentialsVariable(parent.document)})%`},
            append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
          },
        ],
      };

/** What the CONNECT to the exit (connections.ts) carries of the answer: which parent, what that is told; or the address where there is none. No parent gets any of it. */
export const HEADER = {
  via: 'x-sallyport-via',
  connect: 'x-sallyport-connect',
  dial: 'x-sallyport-dial',
} as const;

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
/** Proxies are near; whoever waits for one that is away waits so long for each endpoint. */
const CONNECT_TIMEOUT = '2s';
/** Who does not answer is passed over for so long, and tried again then. Nobody is probed: a mesh has many sidecars. */
const PASSED_OVER = {
  split_external_local_origin_errors: true,
  consecutive_local_origin_failure: 1,
  enforcing_consecutive_local_origin_failure: 100,
  enforcing_local_origin_success_rate: 0,
  // What a parent answers is its answer, and no sign that it is away.
  enforcing_consecutive_5xx: 0,
  enforcing_consecutive_gateway_failure: 0,
  enforcing_success_rate: 0,
  interval: '1s',
  base_ejection_time: '5s',
  max_ejection_time: '30s',
  max_ejection_percent: 100,
};

/** The endpoints in their order: the next is used while those before it cannot be reached. */
export function parentEndpoints(parent: ChainedParent): Value {
  const {endpoints} = parent.document;
  const all = endpoints.flatMap(({tls, host, port}, priority) =>
    addressesOf(parent, host).map((address) => ({tls, host, port, priority, address})),
  );
  const known = all.every(({address}) => parseAddress(address) !== null);
  return {
    name: parentCluster(parent),
    type: known ? 'STATIC' : 'STRICT_DNS',
    ...(known ? {} : {dns_lookup_family: 'V4_PREFERRED', wait_for_warm_on_init: false}),
    connect_timeout: CONNECT_TIMEOUT,
    load_assignment: {
      cluster_name: parentCluster(parent),
      endpoints: endpoints.map((_, priority) => ({
        priority,
        lb_endpoints: all
          .filter((one) => one.priority === priority)
          .map(({tls, host, port, address}) => ({
            endpoint: {address: {socket_address: {address, port_value: port}}, hostname: host},
            ...(tls ? {metadata: {filter_metadata: {'envoy.transport_socket_match': {tls: true}}}} : {}),
          })),
      })),
    },
    ...(all.length > 1 ? {outlier_detection: PASSED_OVER} : {}),
    typed_extension_protocol_options: {
      [HTTP_OPTIONS]: {
        '@type': type(HTTP_OPTIONS),
        // To a proxy a plain request is sent with its whole URL (RFC 9112 §3.2.2).
        explicit_http_config: {http_protocol_options: {send_fully_qualified_url: true}},
        http_filters: HIDDEN,
      },
    },
    ...(endpoints.some(({tls}) => tls) ? {transport_socket_matches: sockets(parent)} : {}),
  };
}

/** Routes take headers away before they read from one what to write into the authority: so they are taken away here. */
const HIDDEN: readonly Value[] = [
  {
    name: 'envoy.filters.http.header_mutation',
    typed_config: {
      '@type': type('envoy.extensions.filters.http.header_mutation.v3.HeaderMutation'),
      mutations: {request_mutations: Object.values(HEADER).map((remove) => ({remove}))},
    },
  },
  {
    name: 'envoy.filters.http.upstream_codec',
    typed_config: {'@type': type('envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec')},
  },
];

const addressesOf = ({addresses}: ChainedParent, host: string): readonly string[] =>
  parseAddress(host) === null && addresses !== null ? addresses : [host];

/** Where an endpoint does not answer, the same request goes to the next. */
export const failover = ({document: {endpoints}, addresses}: ChainedParent): Value =>
  endpoints.length < 2 && (addresses === null || addresses.length < 2)
    ? {}
    : {
        retry_policy: {
          // Nothing was sent yet: a request that may have arrived is never sent twice.
          retry_on: 'connect-failure',
          num_retries: Math.max(endpoints.length, addresses?.length ?? 0),
          retry_priority: {
            name: 'envoy.retry_priorities.previous_priorities',
            typed_config: {
              '@type': type('envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig'),
              update_frequency: 1,
            },
          },
        },
      };

/** TLS where the endpoint says https, with its own name; plain where it says http. */
const sockets = ({trust}: ChainedParent): readonly Value[] => [
  {
    name: 'tls',
    match: {tls: true},
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': type('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'),
        auto_host_sni: true,
        auto_sni_san_validation: true,
        common_tls_context: {alpn_protocols: ['http/1.1'], validation_context: {trusted_ca: {filename: trust}}},
      },
    },
  },
  {
    name: 'plain',
    match: {},
    transport_socket: {
      name: 'envoy.transport_sockets.raw_buffer',
      typed_config: {'@type': type('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer')},
    },
  },
];
