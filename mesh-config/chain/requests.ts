/** Requests that are seen, sent to where the answer to the question says: routes in front of all others. */
import {type} from '../check.ts';
import {toExit} from './connections.ts';
import {credentials, failover, parentCluster, type Chain} from './parents.ts';

type Value = Readonly<Record<string, unknown>>;
export type Scheme = 'http' | 'https';

const ANSWER = 'envoy.filters.http.ext_authz';
/** What the listener that opens the tunnels is handed: the answer, and the port that the client dialled. */
const KEPT = {
  via: 'sallyport.via',
  sends: 'sallyport.sends',
  name: 'sallyport.name',
  dial: 'sallyport.dial',
  port: 'sallyport.port',
} as const;

const TUNNEL = 'sallyport_tunnel';
/** What is sent here goes through a parent in a tunnel, as it is or with TLS to the server inside. */
const tunnelCluster = (scheme: Scheme): string => `${TUNNEL}_${scheme}`;

/**
 * Directly behind the question: the route is chosen anew, by its answer; before, nothing was answered, and the way direct was
 * chosen. Where a tunnel is to lead is handed to the listener that opens it.
 */
export const chooseAgain = (scheme: Scheme): Value => {
  const keep = (key: string, text: string): Value => ({
    object_key: key,
    factory_key: 'envoy.hashable_string',
    format_string: {text_format_source: {inline_string: text}, omit_empty_values: true},
    shared_with_upstream: 'TRANSITIVE',
    skip_if_empty: true,
  });
  const host = scheme === 'https' ? '%REQUESTED_SERVER_NAME%' : '%REQ(:AUTHORITY)%';
  return {
    name: 'sallyport.choose_again',
    typed_config: {
      '@type': type('envoy.extensions.filters.http.set_filter_state.v3.Config'),
      on_request_headers: [
        keep(KEPT.via, answered('via')),
        keep(KEPT.sends, answered('sends')),
        keep(KEPT.dial, answered('dial')),
        keep(KEPT.name, `${host}:%DOWNSTREAM_LOCAL_PORT%`),
        keep(KEPT.port, '%DOWNSTREAM_LOCAL_PORT%'),
      ],
      clear_route_cache: true,
    },
  };
};

const answered = (field: string): string => `%DYNAMIC_METADATA(${ANSWER}:${field})%`;
const says = (key: 'via' | 'sends', value: Value): Value => ({filter: ANSWER, path: [{key}], value});

/** The port that a URL without one means. */
const HTTP_PORT = '80';
/** Where the parent reads the right port out of the URL; for the rest of the requests a CONNECT says it. */
const PORT_IS_SAID: readonly Value[] = [
  {filter_state: [{key: KEPT.port, string_match: {exact: HTTP_PORT}}]},
  {headers: [{name: ':authority', string_match: {safe_regex: {regex: '.*:[0-9]+'}}}]},
];

export function requestRoutes({parents}: Chain, scheme: Scheme): readonly Value[] {
  const tunnel = {route: {cluster: tunnelCluster(scheme), timeout: '0s'}};
  const byAddress = {
    match: {prefix: '/', dynamic_metadata: [says('sends', {string_match: {exact: 'address'}})]},
    ...tunnel,
  };
  // By the address that was checked (`resolve: Local`) it is a CONNECT, of plain HTTP too.
  const named = parents.filter(({document}) => document.resolve !== 'Local');
  const inTheClear = named.flatMap((parent) =>
    PORT_IS_SAID.map((said) => ({
      match: {prefix: '/', dynamic_metadata: [says('via', {string_match: {exact: parent.document.name}})], ...said},
      route: {cluster: parentCluster(parent), timeout: '0s', ...failover(parent)},
      ...credentials(parent),
    })),
  );
  return [
    ...(scheme === 'http' ? [byAddress, ...inTheClear] : []),
    // A parent that the exit does not know is no reason to go direct.
    {match: {prefix: '/', dynamic_metadata: [says('via', {present_match: true})]}, ...tunnel},
  ];
}

/** @param inside what a cluster has that speaks TLS to the server in the tunnel; null: plain HTTP. */
export function tunnelClusterFor(scheme: Scheme, inside: Value | null): Value {
  const name = tunnelCluster(scheme);
  const raw = {
    name: 'envoy.transport_sockets.raw_buffer',
    typed_config: {'@type': type('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer')},
  };
  return {
    ...inside,
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
        transport_socket: inside?.['transport_socket'] ?? raw,
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
            ...toExit({
              via: kept('via'),
              sends: kept('sends'),
              dial: kept('dial'),
              name: kept('name'),
            }),
          },
        },
      ],
    },
  ],
});
