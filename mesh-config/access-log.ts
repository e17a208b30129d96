/** One access log line as JSON, of the same fields wherever it is written: with the decision and its reason. */
import {type} from './check.ts';

export const ACCESS_LOG_FIELDS = {
  start_time: '%START_TIME%',
  client: '%DOWNSTREAM_REMOTE_ADDRESS%',
  destination: '%DOWNSTREAM_LOCAL_ADDRESS%',
  method: '%REQ(:METHOD)%',
  authority: '%REQ(:AUTHORITY)%',
  path: '%REQ(:PATH)%',
  sni: '%REQUESTED_SERVER_NAME%',
  response_code: '%RESPONSE_CODE%',
  response_flags: '%RESPONSE_FLAGS%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  upstream_cluster: '%UPSTREAM_CLUSTER%',
  upstream_host: '%UPSTREAM_HOST%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration: '%DURATION%',
  // The whole of what the answer says: verdict, reason, policy, rule, wouldDeny, id. Of a request, and of any other connection;
  // under these names whatever the filters are called.
  request: '%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%',
  connection: '%DYNAMIC_METADATA(envoy.filters.network.ext_authz)%',
} as const;

/** For a connection manager of our own: Istio's mesh configuration reaches only its own. */
export const accessLog = () => ({
  name: 'envoy.access_loggers.file',
  typed_config: {
    '@type': type('envoy.extensions.access_loggers.file.v3.FileAccessLog'),
    path: '/dev/stdout',
    log_format: {json_format: ACCESS_LOG_FIELDS},
  },
});
