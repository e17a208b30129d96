/** Envoy's HTTP, where we put it in ourselves: what comes goes on as it came. */
import {accessLog} from './access-log.ts';
import {type} from './check.ts';

type Value = Readonly<Record<string, unknown>>;

const FILTERS = 'envoy.extensions.filters';

/** `filters` come before the router; `hidden` are request headers that are not sent on; `more` are settings of this one. */
export function connectionManager(
  statPrefix: string,
  filters: readonly Value[],
  routes: readonly Value[],
  hidden: readonly string[] = [],
  more: Value = {},
): Value {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': type(`${FILTERS}.network.http_connection_manager.v3.HttpConnectionManager`),
      ...more,
      stat_prefix: statPrefix,
      access_log: [accessLog()],
      use_remote_address: true,
      skip_xff_append: true,
      generate_request_id: false,
      normalize_path: false,
      proxy_100_continue: true,
      server_header_transformation: 'PASS_THROUGH',
      upgrade_configs: [{upgrade_type: 'CONNECT'}, {upgrade_type: 'websocket'}],
      http_filters: [
        ...filters,
        {
          name: 'envoy.filters.http.router',
          typed_config: {'@type': type(`${FILTERS}.http.router.v3.Router`), suppress_envoy_headers: true},
        },
      ],
      route_config: {
        name: statPrefix,
        request_headers_to_remove: ['x-forwarded-proto', 'x-envoy-internal', 'x-envoy-external-address', ...hidden],
        virtual_hosts: [{name: 'all', domains: ['*'], routes}],
      },
    },
  };
}
