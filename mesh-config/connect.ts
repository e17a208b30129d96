/** What a client's CONNECT to its corporate proxy says is seen and decided: plain TCP would hide it. */
import {parseAddress, type MeshEgressDocument} from '../policy/index.ts';
import {httpCheck, type} from './check.ts';
import type {ProxyService} from './external-proxy.ts';
import {connectionManager} from './http.ts';
import {istioObject, workloadSelector, type Generated, type Scope} from './objects.ts';
import {PRIORITY} from './priorities.ts';

/** Not the name that the sidecar's own question has, so that a route can switch that one off and leave this one on. */
const CHECK = 'sallyport.proxy_check';
const SIDECAR_CHECK = 'envoy.filters.http.ext_authz';

export function connectFilter(mesh: MeshEgressDocument, scope: Scope, service: ProxyService): Generated {
  const {proxy, name, host, port, addresses, tls, wantsCredentials} = service;
  const says = {
    'sallyport-dials': 'name',
    'sallyport-via': proxy,
    ...(wantsCredentials ? {'sallyport-credentials': 'add'} : {}),
  };
  const cluster = `outbound|${port}||${host}`;
  const manager = connectionManager(
    name.replaceAll(/[^a-z0-9]/g, '_'),
    [httpCheck(mesh, CHECK, says)],
    [
      {
        match: {connect_matcher: {}},
        typed_per_filter_config: ASKED_ONCE,
        route: {cluster, timeout: '0s', upgrade_configs: [{upgrade_type: 'CONNECT'}]},
      },
      {match: {prefix: '/'}, typed_per_filter_config: ASKED_ONCE, route: {cluster, timeout: '0s'}},
    ],
  );
  const merged = (value: object): object => ({
    applyTo: 'CLUSTER',
    match: {context: 'SIDECAR_OUTBOUND', cluster: {service: host, portNumber: port}},
    patch: {operation: 'MERGE', value},
  });
  const spec = {
    ...workloadSelector(scope),
    priority: PRIORITY.externalProxy,
    configPatches: [
      ...addresses.map((address) => ({
        applyTo: 'NETWORK_FILTER',
        match: {
          context: 'SIDECAR_OUTBOUND',
          // By name: a match by port would take in every other service on that port.
          listener: {name: `${address}_${port}`, filterChain: {filter: {name: 'envoy.filters.network.tcp_proxy'}}},
        },
        patch: {operation: 'REPLACE', value: manager},
      })),
      merged(ABSOLUTE_FORM),
      // Apart: of a patch with a transport socket Istio merges nothing else.
      ...(tls === null ? [] : [merged({transport_socket: tlsTo(tls)})]),
    ],
  };
  return {
    why: `UpstreamProxy ${proxy} at ${host}:${port}: each CONNECT and each plain request to it is asked about before it is sent, by the name that it is for. Without this the mesh sees an address of the proxy, and everything behind it is open or closed at once.${tls === null ? '' : ` The sidecar speaks TLS to it and verifies it as ${tls.name}; pods speak plain HTTP to their sidecar, for inside of TLS of their own no CONNECT could be seen.`}${wantsCredentials ? ' Its credentials are added by extauthz: the pod holds none, and those that it sends do not arrive.' : ''}`,
    object: istioObject(
      mesh,
      'networking.istio.io/v1alpha3',
      'EnvoyFilter',
      `${name}${scope.suffix}`,
      scope.namespace,
      spec,
    ),
  };
}

/** The question of sidecar-http is put into every HTTP filter chain, ours too; it would take the proxy's address for the target. */
const ASKED_ONCE = {
  [SIDECAR_CHECK]: {
    '@type': type('envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute'),
    disabled: true,
  },
};

/** The certificate has to be for this name or address, of these roots. */
const tlsTo = ({name, trust}: NonNullable<ProxyService['tls']>): object => {
  const isName = parseAddress(name) === null;
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': type('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'),
      ...(isName ? {sni: name} : {}),
      common_tls_context: {
        validation_context: {
          trusted_ca: {filename: trust},
          match_typed_subject_alt_names: [{san_type: isName ? 'DNS' : 'IP_ADDRESS', matcher: {exact: name}}],
        },
      },
    },
  };
};

/** To a proxy a plain request is sent with its whole URL (RFC 9112 §3.2.2). */
const ABSOLUTE_FORM = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('envoy.extensions.upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: {http_protocol_options: {send_fully_qualified_url: true}},
    },
  },
};
