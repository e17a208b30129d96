/** Envoy's HTTP, where we put it in ourselves: what comes goes on as it came. */
import {type} from './check.ts';

type Value = Readonly<Record<string, unknown>>;

const FILTERS = 'envoy.extensions.filters';

/** Where ext_authz leaves what the answer says: under this name, whatever the filter itself is called. */
const told = (key: string): string => `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:${key})%`;

/** One JSON object a line: a connection manager of ours has no access log from Istio's mesh configuration. */
export function accessLog(): Value {
  return {
    name: 'envoy.access_loggers.file',
    typed_config: {
      '@type': type('envoy.extensions.access_loggers.file.v3.FileAccessLog'),
      path: '/dev/stdout',
      log_format: {
        json_format: {
          start_time: '%START_TIME%',
          client: '%DOWNSTREAM_REMOTE_ADDRESS%',
          method: '%REQ(:METHOD)%',
          authority: '%REQ(:AUTHORITY)%',
          path: '%REQ(:PATH)%',
          response_code: '%RESPONSE_CODE%',
          response_flags: '%RESPONSE_FLAGS%',
          response_code_details: '%RESPONSE_CODE_DETAILS%',
          upstream_host: '%UPSTREAM_HOST%',
          verdict: told('verdict'),
          reason: told('reason'),
          policy: told('policy'),
          rule: told('rule'),
          would_deny: told('wouldDeny'),
          id: told('id'),
        },
      },
    },
  };
}

/** `filters` come before the router. */
export function connectionManager(
  statPrefix: string,
  log: Value,
  filters: readonly Value[],
  routes: readonly Value[],
): Value {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': type(`${FILTERS}.network.http_connection_manager.v3.HttpConnectionManager`),
      stat_prefix: statPrefix,
      access_log: [log],
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
        request_headers_to_remove: ['x-forwarded-proto', 'x-envoy-internal', 'x-envoy-external-address'],
        virtual_hosts: [{name: 'all', domains: ['*'], routes}],
      },
    },
  };
}
