/** Requests that are seen, sent to where the answer to the question says: routes in front of all others. */
import {type} from '../check.ts';
import {toExit} from './connections.ts';
import {credentials, failover, parentCluster, type Chain} from './parents.ts';

type Value = Readonly<Record<string, unknown>>;
/** What is inside of a tunnel: plain HTTP; TLS to the server; and, where HTTP/2 would not do, TLS with HTTP/1.1. */
export type Inside = 'http' | 'https' | 'https_websocket';

const ANSWER = 'envoy.filters.http.ext_authz';
/** What the listener that opens the tunnels is handed of the answer. */
const KEPT = {via: 'sallyport.via', connect: 'sallyport.connect'} as const;
const FIELDS = ['via', 'connect'] as const;

const TUNNEL = 'sallyport_tunnel';
/** What is sent here goes through a parent in a tunnel. */
const tunnelCluster = (inside: Inside): string => `${TUNNEL}_${inside}`;

/**
 * Directly behind the question: the route is chosen anew, by its answer; before, nothing was answered, and the way direct was
 * chosen. Where a tunnel is to lead is handed to the listener that opens it.
 */
export const CHOOSE_AGAIN: Value = {
  name: 'sallyport.choose_again',
  typed_config: {
    '@type': type('envoy.extensions.filters.http.set_filter_state.v3.Config'),
    on_request_headers: FIELDS.map((field) => ({
      object_key: KEPT[field],
      // Connections of one tunnel are shared by what is for the same parent and place.
      factory_key: 'envoy.hashable_string',
      format_string: {
        text_format_source: {inline_string: `%DYNAMIC_METADATA(${ANSWER}:${field})%`},
        omit_empty_values: true,
      },
      shared_with_upstream: 'TRANSITIVE',
      skip_if_empty: true,
    })),
    clear_route_cache: true,
  },
};

const says = (key: 'via' | 'sends' | 'connect', value: Value): Value => ({filter: ANSWER, path: [{key}], value});
const is = (exact: string): Value => ({string_match: {exact}});

/** Few proxies pass an Upgrade on. */
const NO_UPGRADE: Value = {name: 'upgrade', present_match: true, invert_match: true};
/** By TRACE the parent may answer with all that it was sent, its credentials included (RFC 9110 §9.3.8). */
const NO_TRACE: Value = {
  name: ':method',
  string_match: {exact: 'TRACE', ignore_case: true},
  invert_match: true,
};
/** A sidecar believes a pod's x-forwarded-proto, and what is in `:scheme` is in the URL: the parent would dial by TLS what was asked about as plain HTTP. */
const IS_HTTP: Value = {name: ':scheme', string_match: {exact: 'http'}};
const AS_URL = [NO_UPGRADE, NO_TRACE, IS_HTTP];
/** Where the parent reads the right port out of the URL, for one without means 80; for the rest of the requests a CONNECT says it. */
const portIsSaid = (answered: readonly Value[]): readonly Value[] => [
  {dynamic_metadata: [...answered, says('connect', {string_match: {suffix: ':80'}})], headers: AS_URL},
  {
    dynamic_metadata: answered,
    headers: [...AS_URL, {name: ':authority', string_match: {safe_regex: {regex: '.*:[0-9]+'}}}],
  },
];

/** Plain HTTP: with its whole URL to the parent, or where that would not do by CONNECT. */
export function requestRoutes({parents}: Chain): readonly Value[] {
  // By the address that was checked (`resolve: Local`) it is a CONNECT, of plain HTTP too.
  const named = parents.filter(({document}) => document.resolve !== 'Local');
  const inTheClear = named.flatMap((parent) =>
    portIsSaid([says('via', is(parent.document.name)), says('sends', is('name'))]).map((match) => ({
      match: {prefix: '/', ...match},
      route: {cluster: parentCluster(parent), timeout: '0s', ...failover(parent)},
      ...credentials(parent),
    })),
  );
  return [...inTheClear, tunnelRoute('http')];
}

const WEBSOCKET: Value = {headers: [{name: 'upgrade', string_match: {exact: 'websocket', ignore_case: true}}]};

/** Requests that were inside of TLS: by CONNECT, in TLS again. */
export const decryptedRoutes = (): readonly Value[] => [
  tunnelRoute('https_websocket', WEBSOCKET),
  tunnelRoute('https'),
];

/** A parent that the exit does not know is no reason to go direct. */
const tunnelRoute = (inside: Inside, more: Value = {}): Value => ({
  match: {prefix: '/', dynamic_metadata: [says('via', {present_match: true})], ...more},
  route: {cluster: tunnelCluster(inside), timeout: '0s'},
});

/** @param server what a cluster has for the server in the tunnel: TLS, where it has a transport socket. */
export function tunnelClusterFor(inside: Inside, server: Value): Value {
  const name = tunnelCluster(inside);
  const raw = {
    name: 'envoy.transport_sockets.raw_buffer',
    typed_config: {'@type': type('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer')},
  };
  return {
    ...server,
    name,
    type: 'STATIC',
    connect_timeout: '5s',
    load_assignment: {
      cluster_name: name,
      endpoints: [{lb_endpoints: [{endpoint: {address: {envoy_internal_address: {server_listener_name: TUNNEL}}}}]}],
    },
    transport_socket: {
      name: 'envoy.transport_sockets.internal_upstream',
      typed_config: {
        '@type': type('envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport'),
        transport_socket: server['transport_socket'] ?? raw,
      },
    },
  };
}

const kept = (field: keyof typeof KEPT): string => `%FILTER_STATE(${KEPT[field]}:PLAIN)%`;

/** Opens a tunnel for each connection, by way of the exit. It has no address. */
export const tunnelListener = (): Value => ({
  name: TUNNEL,
  internal_listener: {},
  filter_chains: [
    {
      filters: [
        {
          name: 'envoy.filters.network.tcp_proxy',
          typed_config: {
            '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
            stat_prefix: TUNNEL,
            ...toExit({via: kept('via'), connect: kept('connect')}),
          },
        },
      ],
    },
  ],
});
