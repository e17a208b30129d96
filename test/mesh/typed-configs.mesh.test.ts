/** Every value that an EnvoyFilter of ours puts into Envoy, in the eyes of Envoy itself (--mode validate), without an istiod. */
import {spawnSync} from 'node:child_process';
import {mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, describe, expect} from '@jest/globals';
import {parseAllDocuments} from 'yaml';
import {publicCa} from '../../cli/demo/public-ca.ts';
import {ENVOY_VERSIONS, envoyBinary} from '../envoy/index.ts';
import {meshTest} from './require.ts';

/** That of Istio 1.29, the oldest that is generated for. */
const OLDEST_ENVOY = ENVOY_VERSIONS.at(-1)!;

type Value = Record<string, unknown>;
interface Patch {
  readonly applyTo: string;
  readonly patch: {readonly operation: string; readonly value?: Value};
}
const folder = new URL('../../mesh-config/testdata/', import.meta.url);
const patchesOf = (file: string): readonly Patch[] =>
  parseAllDocuments(readFileSync(new URL(file, folder), 'utf8'))
    .map((document) => document.toJS() as {kind?: string; spec?: {configPatches?: Patch[]}} | null)
    .flatMap((object) => (object?.kind === 'EnvoyFilter' ? (object.spec?.configPatches ?? []) : []))
    .filter(({patch}) => patch.value !== undefined);
const FILES = readdirSync(folder)
  .filter((file) => file.endsWith('.out.yaml'))
  .map((file) => [file, patchesOf(file)] as const)
  .filter(([, patches]) => patches.length > 0);

const type = (name: string) => ({'@type': `type.googleapis.com/envoy.${name}`});
const ROUTER = {name: 'envoy.filters.http.router', typed_config: type('extensions.filters.http.router.v3.Router')};
const TCP_PROXY = 'envoy.filters.network.tcp_proxy';
const tcpProxy = (more: object = {}): Value => ({
  name: TCP_PROXY,
  typed_config: {
    ...type('extensions.filters.network.tcp_proxy.v3.TcpProxy'),
    stat_prefix: 'a',
    cluster: 'any',
    ...more,
  },
});
const manager = (more: object): Value => ({
  name: 'envoy.filters.network.http_connection_manager',
  typed_config: {
    ...type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
    ...{stat_prefix: 'a', http_filters: [ROUTER], route_config: {name: 'a', virtual_hosts: []}},
    ...more,
  },
});
const routes = (list: readonly unknown[]): object => ({
  route_config: {name: 'a', virtual_hosts: [{name: 'a', domains: ['*'], routes: list}]},
});

/** The patch's value where Istio would put it, in a listener or cluster of its own. */
function placed({applyTo, patch: {value = {}}}: Patch, i: number): {listener?: Value; cluster?: Value} {
  const listener = (filters: readonly Value[], more: object = {}) => ({
    listener: {
      name: `patch-${i}`,
      address: {socket_address: {address: '127.0.0.1', port_value: 10_000 + i}},
      filter_chains: [{filters}],
      ...more,
    },
  });
  switch (applyTo) {
    case 'LISTENER':
      return {listener: {...value, name: `patch-${i}-${String(value['name'])}`}};
    case 'CLUSTER':
      return {cluster: {...(value['name'] === undefined ? {name: `patch-${i}`} : {}), connect_timeout: '1s', ...value}};
    case 'LISTENER_FILTER':
      return listener([tcpProxy()], {listener_filters: [value]});
    case 'HTTP_FILTER':
      return listener([manager({http_filters: [value, ROUTER]})]);
    case 'NETWORK_FILTER':
      if (value['name'] === TCP_PROXY) return listener([tcpProxy(value['typed_config'] as object)]);
      if (value['name'] === 'envoy.filters.network.http_connection_manager')
        return listener([manager(value['typed_config'] as object)]);
      return listener([value, tcpProxy()]);
    case 'HTTP_ROUTE':
      return listener([manager(routes([{match: {prefix: '/'}, route: {cluster: 'any'}, ...value}]))]);
    case 'VIRTUAL_HOST':
      return listener([
        manager({route_config: {name: 'a', virtual_hosts: [{name: 'a', domains: ['*'], routes: [], ...value}]}}),
      ]);
    default:
      throw new Error(`${applyTo}: this test does not know where that goes`);
  }
}

describe('Envoy', () => {
  const it = meshTest();
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-typed-'));
  const {bundle} = publicCa(join(dir, 'ca'));
  afterAll(() => rmSync(dir, {recursive: true, force: true}));

  const judged = (patches: readonly Patch[], version: string = ENVOY_VERSIONS[0]!) => {
    const parts = patches.map(placed);
    const clusters = new Map<string, Value>();
    for (const {cluster} of parts) if (cluster !== undefined) clusters.set(String(cluster['name']), cluster);
    const listeners = parts.flatMap(({listener}) => listener ?? []);
    // Those that istiod or the lab make, and routes and questions name.
    const named = JSON.stringify(parts).matchAll(/"cluster(?:_name)?":"([^"]+)"/g);
    for (const name of ['any', ...[...named].map(([, one]) => one!)])
      if (!clusters.has(name)) clusters.set(name, {name, type: 'STATIC', connect_timeout: '1s'});
    const config = {
      bootstrap_extensions: [
        {
          name: 'envoy.bootstrap.internal_listener',
          typed_config: type('extensions.bootstrap.internal_listener.v3.InternalListener'),
        },
      ],
      node: {id: 'a', cluster: 'a'},
      static_resources: {listeners, clusters: [...clusters.values()]},
    };
    // Roots are files of the proxy's container.
    const text = JSON.stringify(config).replaceAll(
      /("trusted_ca":\{"filename":)"[^"]*"/g,
      `$1${JSON.stringify(bundle)}`,
    );
    const file = join(dir, 'envoy.json');
    writeFileSync(file, text);
    // A pipe of the shell's: Node's are sockets, and Envoy opens /dev/stdout by name.
    const piped = 'out=$("$@"); status=$?; printf %s "$out"; exit $status';
    const argv = ['--mode', 'validate', '--log-level', 'error', '-c', file];
    const {status, stderr} = spawnSync('sh', ['-c', piped, 'sh', envoyBinary(version)!, ...argv], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    return {status, said: stderr};
  };

  it.each(FILES)(
    'takes every value of %s',
    (_file, patches) => {
      expect(judged(patches)).toEqual({status: 0, said: ''});
    },
    60_000,
  );

  // What is chained is made for Istio 1.31 alone (IstioTooOld).
  it.each(FILES.filter(([file]) => !file.includes('chained')))(
    'of Istio 1.29 takes every value of %s',
    (_file, patches) => {
      expect(judged(patches, OLDEST_ENVOY)).toEqual({status: 0, said: ''});
    },
    60_000,
  );

  it('would not take a value that is misspelt', () => {
    const [, patches] = FILES[0]!;
    const misspelt = JSON.parse(JSON.stringify(patches).replace('"stat_prefix"', '"stat_prefiks"')) as Patch[];
    expect(JSON.stringify(misspelt)).not.toBe(JSON.stringify(patches));
    expect(judged(misspelt).status).not.toBe(0);
  }, 60_000);
});
