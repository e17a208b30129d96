/** The UpstreamProxies of a case as Envoy's clusters: endpoints in order, TLS to the proxy, credentials; and tunnels through them. */
import type {Case, DocumentValue} from '../../format/case.ts';
import {typed, UPSTREAM_HTTP, type Json} from './shapes.ts';

export interface Parent {
  readonly name: string;
  /** scheme, host and port of each endpoint, in the order in which they are tried. */
  readonly endpoints: readonly {readonly tls: boolean; readonly host: string; readonly port: number}[];
  /** `Basic …`; null: it asks for none. */
  readonly authorization: string | null;
}

/** What the documents say; only what the cases use of it. */
export function parentsOf(world: Case, documents: readonly DocumentValue[]): Parent[] {
  return documents.flatMap((document) => {
    if (document['kind'] !== 'UpstreamProxy') return [];
    const {name} = document['metadata'] as {name: string};
    const spec = document['spec'] as {
      endpoints: {url: string}[];
      auth?: {secretRef: {namespace: string; name: string}};
    };
    const ref = spec.auth?.secretRef;
    const secret = ref === undefined ? undefined : world.secrets.get(`${ref.namespace}/${ref.name}`);
    const basic = secret === undefined ? null : Buffer.from(`${secret['username']}:${secret['password']}`);
    return {
      name,
      endpoints: spec.endpoints.map(({url}) => {
        const at = new URL(url);
        return {tls: at.protocol === 'https:', host: at.hostname, port: Number(at.port)};
      }),
      authorization: basic === null ? null : `Basic ${basic.toString('base64')}`,
    };
  });
}

/** The parent itself, as absolute-form requests go to it. */
export const parentCluster = ({name}: Parent): string => `parent-${name}`;
/** What is sent here goes through the parent in a tunnel: as it is, or with our own TLS to the server inside. */
export const tunnelCluster = ({name}: Parent, scheme: 'http' | 'https', sends: Sends): string =>
  `tunnel-${scheme}-by-${sends}-${name}`;
/** A listener of Envoy's own, which opens the tunnels. */
const tunnelListener = ({name}: Parent, sends: Sends): string => `tunnel-by-${sends}-${name}`;

/** What a CONNECT names: the host, or the address that was checked. The answer says which. */
export type Sends = 'name' | 'address';
const SENDS = ['name', 'address'] as const;

/** Where a tunnel is to lead, written by the connection or request that wants it: the name, and the checked address. */
export const TUNNEL_TO = {name: 'sallyport.tunnel.name', address: 'sallyport.tunnel.address'} as const;

/** @param https what a cluster has that speaks TLS to servers. */
export function parentClusters(parent: Parent, roots: string, https: {readonly transport_socket: Json} & Json): Json[] {
  return [
    endpoints(parent, roots),
    ...SENDS.flatMap((sends) => [tunnel(parent, 'http', sends, {}), tunnel(parent, 'https', sends, https)]),
  ];
}

/** The next endpoint is used while those before it cannot be reached. */
function endpoints(parent: Parent, roots: string): Json {
  const name = parentCluster(parent);
  return {
    name,
    type: 'STRICT_DNS',
    connect_timeout: '2s',
    dns_lookup_family: 'ALL',
    load_assignment: {
      cluster_name: name,
      endpoints: parent.endpoints.map(({host, port}, priority) => ({
        priority,
        lb_endpoints: [{endpoint: {address: {socket_address: {address: host, port_value: port}}, hostname: host}}],
      })),
    },
    // Envoy turns to the next when it knows that one is away, not when a connection fails.
    ...(parent.endpoints.length > 1 ? {health_checks: [HEALTH_CHECK]} : {}),
    typed_extension_protocol_options: {
      [UPSTREAM_HTTP]: typed('envoy.extensions.upstreams.http.v3.HttpProtocolOptions', {
        explicit_http_config: {http_protocol_options: {send_fully_qualified_url: true}},
      }),
    },
    ...(parent.endpoints.some(({tls}) => tls) ? {transport_socket: TLS_TO_PARENT(roots)} : {}),
  };
}

const HEALTH_CHECK = {
  timeout: '1s',
  interval: '1s',
  unhealthy_threshold: 1,
  healthy_threshold: 1,
  tcp_health_check: {},
};

const TLS_TO_PARENT = (roots: string): Json =>
  typed.named('envoy.transport_sockets.tls', 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
    auto_host_sni: true,
    auto_sni_san_validation: true,
    common_tls_context: {
      alpn_protocols: ['http/1.1'],
      validation_context: {trusted_ca: {filename: roots}},
    },
  });

/** Dials our own listener, and hands on where the tunnel is to lead. */
function tunnel(parent: Parent, scheme: 'http' | 'https', sends: Sends, inside: Json): Json {
  const name = tunnelCluster(parent, scheme, sends);
  const raw = typed.named(
    'envoy.transport_sockets.raw_buffer',
    'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
    {},
  );
  return {
    ...inside,
    name,
    type: 'STATIC',
    connect_timeout: '5s',
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: [
            {endpoint: {address: {envoy_internal_address: {server_listener_name: tunnelListener(parent, sends)}}}},
          ],
        },
      ],
    },
    transport_socket: typed.named(
      'envoy.transport_sockets.internal_upstream',
      'envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport',
      {transport_socket: inside['transport_socket'] ?? raw},
    ),
  };
}

export const tunnelListeners = (parent: Parent): Json[] =>
  SENDS.map((sends) => {
    const name = tunnelListener(parent, sends);
    const to = `%FILTER_STATE(${TUNNEL_TO[sends]}:PLAIN)%`;
    return {name, internal_listener: {}, filter_chains: [{filters: [tunnelFilter(parent, to, name)]}]};
  });

/** CONNECT to `authority` through the parent. */
export const tunnelFilter = (parent: Parent, authority: string, name: string): Json =>
  typed.named('envoy.filters.network.tcp_proxy', 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', {
    stat_prefix: name,
    cluster: parentCluster(parent),
    // The filter in front asks when there are bytes; until it is answered no parent is dialled.
    upstream_connect_mode: 'ON_DOWNSTREAM_DATA',
    max_early_data_bytes: 8192,
    tunneling_config: {
      hostname: authority,
      ...(parent.authorization === null
        ? {}
        : {headers_to_add: [{header: {key: 'proxy-authorization', value: parent.authorization}}]}),
    },
  });
