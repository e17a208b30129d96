/** A pair of Envoys that does for a pod's TCP what our wire does: TLS 1.3 with certificates of both sides, each judged by its SPIFFE id. */
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {ENVOY_VERSIONS, envoyBinary} from '../envoy/index.ts';
import type {Identity} from '../../tproxy/mtls/identity/identity.ts';

/** Where the sending node's Envoy takes a port of its pod, and the receiving one its peer's TLS. */
export interface EnvoyRoute {
  readonly name: string;
  readonly listen: {readonly ip: string; readonly port: number};
  readonly to: {readonly ip: string; readonly port: number};
}

export interface EnvoySide {
  readonly dir: string;
  readonly role: 'wraps' | 'unwraps';
  readonly identity: Identity;
  readonly peerId: string;
  readonly routes: readonly EnvoyRoute[];
}

export const MTLS_ENVOY = `Envoy ${ENVOY_VERSIONS[0]!}`;
export const hasEnvoy = (): boolean => envoyBinary(ENVOY_VERSIONS[0]!) !== null;

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';
const TCP_PROXY = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';

/** Writes its configuration and says what to start. One worker, no access log: the wire of ours writes none for what it carries. */
export function envoyCommand(side: EnvoySide): string[] {
  const {dir, role, routes} = side;
  const config = {
    static_resources: {
      listeners: routes.map(({name, listen}) => ({
        name,
        address: address(listen),
        filter_chains: [
          {
            ...(role === 'unwraps' ? {transport_socket: transportSocket(side)} : {}),
            filters: [{name: 'tcp', typed_config: {'@type': TCP_PROXY, stat_prefix: name, cluster: name}}],
          },
        ],
      })),
      clusters: routes.map(({name, to}) => ({
        name,
        type: 'STATIC',
        load_assignment: {
          cluster_name: name,
          endpoints: [{lb_endpoints: [{endpoint: {address: address(to)}}]}],
        },
        ...(role === 'wraps' ? {transport_socket: transportSocket(side)} : {}),
      })),
    },
  };
  const path = join(dir, 'envoy.yaml');
  writeFileSync(path, stringify(config));
  const quiet = ['--disable-hot-restart', '--log-level', 'error'];
  return [envoyBinary(ENVOY_VERSIONS[0]!)!, '-c', path, '--concurrency', '1', ...quiet];
}

const address = ({ip, port}: EnvoyRoute['to']): object => ({socket_address: {address: ip, port_value: port}});

function transportSocket({identity, peerId, role}: EnvoySide): object {
  const text = (inline_string: string): object => ({inline_string});
  const common_tls_context = {
    tls_params: {tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3'},
    tls_certificates: [{certificate_chain: text(identity.chainPem), private_key: text(identity.keyPem)}],
    validation_context: {
      trusted_ca: text(identity.rootsPem),
      match_typed_subject_alt_names: [{san_type: 'URI', matcher: {exact: peerId}}],
    },
  };
  const typed_config =
    role === 'wraps'
      ? {'@type': `${TLS}.UpstreamTlsContext`, common_tls_context}
      : {'@type': `${TLS}.DownstreamTlsContext`, require_client_certificate: true, common_tls_context};
  return {name: 'tls', typed_config};
}
