/** Envoy (its balsa codec) as a reverse proxy over sockets of the file system. */
import {mkdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {ENVOY_VERSIONS, envoyBinary} from '../../../envoy/binary.ts';
import type {Peer} from '../peer.ts';
import {startOrigin} from './origin.ts';
import {startProcess} from './process.ts';

const TYPE = 'type.googleapis.com/envoy.extensions';

/** It answers in one or two milliseconds; what takes longer is missed, which makes it look stricter, never us. */
const SILENCE_MS = 60;

/** null: it is not in the cache. */
export async function startEnvoy(dir: string): Promise<Peer | null> {
  const binary = envoyBinary(ENVOY_VERSIONS[0]!);
  if (binary === null) return null;
  const home = join(dir, 'envoy');
  mkdirSync(home);
  const origin = await startOrigin(home);
  const socket = join(home, 'front.sock');
  const pipe = (path: string): object => ({pipe: {path}});
  const manager = {
    '@type': `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'framing',
    // A body is read whole before it is sent on: one that is cut short is none.
    http_filters: [
      {name: 'buffer', typed_config: {'@type': `${TYPE}.filters.http.buffer.v3.Buffer`, max_request_bytes: 1_000_000}},
      {name: 'router', typed_config: {'@type': `${TYPE}.filters.http.router.v3.Router`}},
    ],
    route_config: {
      virtual_hosts: [{name: 'all', domains: ['*'], routes: [{match: {prefix: '/'}, route: {cluster: 'origin', timeout: '0s'}}]}], // prettier-ignore
    },
  };
  const config = {
    static_resources: {
      listeners: [
        {
          name: 'front',
          address: pipe(socket),
          enable_reuse_port: false,
          filter_chains: [{filters: [{name: 'http', typed_config: manager}]}],
        },
      ],
      clusters: [
        {
          name: 'origin',
          type: 'STATIC',
          connect_timeout: '5s',
          max_requests_per_connection: 1,
          load_assignment: {
            cluster_name: 'origin',
            endpoints: [{lb_endpoints: [{endpoint: {address: pipe(origin.socket)}}]}],
          },
        },
      ],
    },
  };
  const file = join(home, 'envoy.json');
  writeFileSync(file, JSON.stringify(config));
  const argv = [binary, '-c', file, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'off'];
  const peer = await startProcess('Envoy', socket, argv, home);
  return {
    ...peer,
    silenceMs: SILENCE_MS,
    close: async () => {
      await peer.close();
      await origin.close();
    },
  };
}
