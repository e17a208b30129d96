/**
 * Connections that nobody looks into, sent to where the answer to the question says. tcp_proxy cannot choose by an answer; routes
 * of HTTP can. So each such connection becomes a CONNECT to a listener of Envoy's own, the exit, with the answer in headers: from
 * there it goes on as a CONNECT to the parent, or, out of its tunnel, to the address that was checked.
 */
import {type} from '../check.ts';
import {connectionManager} from '../http.ts';
import {credentials, failover, HEADER, parentCluster, type Chain, type ChainedParent} from './parents.ts';

type Value = Readonly<Record<string, unknown>>;

export const EXIT = 'sallyport_exit';
/** What leaves directly, at the address that was checked. */
const CHECKED = 'sallyport_exit_checked';

const ANSWER = 'envoy.filters.network.ext_authz';
/** What of a tcp_proxy makes it send to the exit; `carried`: formats of Envoy's. */
export const toExit = (carried: Readonly<Partial<Record<keyof typeof HEADER, string>>>): Value => ({
  cluster: EXIT,
  tunneling_config: {
    // It goes no farther than the exit, which writes the name or the address in its place.
    hostname: 'exit.sallyport.internal:443',
    headers_to_add: Object.entries(carried).map(([field, value]) => ({
      header: {key: HEADER[field as keyof typeof HEADER], value},
      append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
    })),
  },
});

const answered = (field: string): string => `%DYNAMIC_METADATA(${ANSWER}:${field})%`;
/** For the tcp_proxy behind a question. */
export const ANSWERED_TO_EXIT = toExit({
  via: answered('via'),
  connect: answered('connect'),
  dial: answered('dial'),
});

/** Merged into a tcp_proxy that has the rest of its settings already. */
export const tcpProxyToExit = (): Value => ({
  name: 'envoy.filters.network.tcp_proxy',
  typed_config: {
    '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
    ...ANSWERED_TO_EXIT,
  },
});

export const exitClusters = (chain: Chain): readonly Value[] => [
  {
    name: EXIT,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: EXIT,
      endpoints: [{lb_endpoints: [{endpoint: {address: {envoy_internal_address: {server_listener_name: EXIT}}}}]}],
    },
  },
  ...(chain.directAnywhere
    ? [
        {
          name: CHECKED,
          type: 'ORIGINAL_DST',
          lb_policy: 'CLUSTER_PROVIDED',
          connect_timeout: '10s',
          original_dst_lb_config: {use_http_header: true, http_header_name: HEADER.dial},
        },
      ]
    : []),
];

/** It has no address: nothing but Envoy itself gets here. */
export const exitListener = (chain: Chain): Value => ({
  name: EXIT,
  internal_listener: {},
  filter_chains: [{filters: [connectionManager(EXIT, [], exitRoutes(chain))]}],
});

function exitRoutes({parents, directAnywhere}: Chain): readonly Value[] {
  return [
    ...parents.map(through),
    // A parent that is not there is no reason to go direct.
    {
      match: {connect_matcher: {}, headers: [{name: HEADER.via, present_match: true}]},
      direct_response: {status: 502},
    },
    ...(directAnywhere
      ? [
          {
            match: {connect_matcher: {}, headers: [{name: HEADER.dial, present_match: true}]},
            route: {cluster: CHECKED, timeout: '0s', upgrade_configs: [{upgrade_type: 'CONNECT', connect_config: {}}]},
          },
        ]
      : []),
  ];
}

const through = (parent: ChainedParent): Value => ({
  match: {connect_matcher: {}, headers: [{name: HEADER.via, string_match: {exact: parent.document.name}}]},
  route: {
    cluster: parentCluster(parent),
    timeout: '0s',
    upgrade_configs: [{upgrade_type: 'CONNECT'}],
    host_rewrite_header: HEADER.connect,
    ...failover(parent),
  },
  ...credentials(parent),
});
