/** What `verify` warns of does break the mesh: each conflict is put beside what was generated, and found by both. */
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import type {Named, Surroundings} from '../../mesh-config/surroundings.ts';
import {NOTHING} from '../../mesh-config/testing/nothing.ts';
import {conflicts} from '../../mesh-config/verify.ts';
import {fromIntent, type FromIntent} from './generated.ts';
import {startSquid, type Parent} from './parents.ts';
import {meshTest} from './require.ts';
import {EXTAUTHZ, meshWorld, RESOLVER, TIMEOUT_MS, type MeshWorld} from './world.ts';

const SQUID = '10.9.9.1';
const PORT = 3128;
const EVIL = '5.6.40.9';
const PROXY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'UpstreamProxy',
  metadata: {name: 'corp'},
  spec: {endpoints: [{url: `http://squid.corp.test:${PORT}`}], hosts: ['*']},
};
const intentOf = (enforcement: readonly object[]): FromIntent => {
  const spec = {extauthz: {timeoutMs: TIMEOUT_MS}, enforcement, proxies: [{name: 'corp', addresses: [SQUID]}]};
  const mesh = {apiVersion: 'sallyport.dev/v1alpha1', kind: 'MeshEgress', metadata: {name: 'default'}, spec};
  return fromIntent([mesh, PROXY].map((one) => stringify(one)).join('---\n'));
};
const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressPolicy',
  metadata: {name: 'web', namespace: 'app'},
  spec: {podSelector: {}, rules: [{name: 'names', to: {hosts: ['allowed.test'], schemes: ['tls', 'http']}}]},
};

const networking = (kind: string, name: string, namespace: string, spec: object, version = 'v1'): Named => ({
  ...{apiVersion: `networking.istio.io/${version}`, kind},
  metadata: {name, namespace, creationTimestamp: '2026-01-01T00:00:00Z'} as Named['metadata'],
  ...{spec},
});
const entry = (name: string, spec: object): Named => networking('ServiceEntry', name, 'app', spec);
const sidecar = (hosts: readonly string[]): Named => networking('Sidecar', 'default', 'app', {egress: [{hosts}]});

const theirs = (...configPatches: readonly object[]): Named =>
  networking('EnvoyFilter', 'theirs', 'app', {priority: 20, configPatches}, 'v1alpha3');
const MANAGER = 'envoy.filters.network.http_connection_manager';
const outbound = (listener: object) => ({context: 'SIDECAR_OUTBOUND', listener});
const question = (more: object, service: object) => ({
  applyTo: 'HTTP_FILTER',
  match: outbound({filterChain: {filter: {name: MANAGER, subFilter: {name: 'envoy.filters.http.router'}}}}),
  patch: {
    operation: 'INSERT_BEFORE',
    value: {
      name: 'theirs',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
        transport_api_version: 'V3',
        grpc_service: {timeout: '2s', envoy_grpc: service},
        ...more,
      },
    },
  },
});
const HOST = `${EXTAUTHZ.name}.${EXTAUTHZ.namespace}.svc.cluster.local`;
const CLUSTER = `outbound|${EXTAUTHZ.port}||${HOST}`;

const CONFLICTS: readonly (readonly [string, Named, string])[] = [
  [
    'the proxy’s host as HTTP',
    entry('a-proxy', {
      hosts: ['squid.corp.test'],
      addresses: [`${SQUID}/32`],
      ports: [{number: PORT, name: 'http', protocol: 'HTTP'}],
      location: 'MESH_EXTERNAL',
      resolution: 'NONE',
    }),
    'SameHost',
  ],
  ['a Sidecar resource that hides extauthz', sidecar(['./*', 'istio-system/*']), 'HiddenBySidecar'],
  ['a Sidecar resource that hides the proxy', sidecar(['./*', `${EXTAUTHZ.namespace}/*`]), 'HiddenBySidecar'],
  [
    'an EnvoyFilter that takes the question away',
    networking(
      'EnvoyFilter',
      'faster',
      'app',
      {
        priority: 20,
        configPatches: [
          {
            applyTo: 'HTTP_FILTER',
            match: {
              context: 'SIDECAR_OUTBOUND',
              listener: {
                filterChain: {
                  filter: {
                    name: 'envoy.filters.network.http_connection_manager',
                    subFilter: {name: 'envoy.filters.http.ext_authz'},
                  },
                },
              },
            },
            patch: {operation: 'REMOVE'},
          },
        ],
      },
      'v1alpha3',
    ),
    'QuestionRemoved',
  ],
  [
    'a question of others that waits for bodies, which a CONNECT never ends',
    theirs(question({with_request_body: {max_request_bytes: 8192}}, {cluster_name: CLUSTER, authority: HOST})),
    'BodyAwaited',
  ],
  ['a question of others without an authority', theirs(question({}, {cluster_name: CLUSTER})), 'NoAuthority'],
];

/** Patches that no name in the world of this test fits, and what they would change where one did. */
const UNMATCHED: readonly (readonly [string, object, object])[] = [
  [
    'by the name of a listener',
    outbound({name: '10.9.9.8_3128', filterChain: {filter: {name: 'envoy.filters.network.tcp_proxy'}}}),
    outbound({name: `${SQUID}_${PORT}`, filterChain: {filter: {name: MANAGER}}}),
  ],
  [
    'by a port',
    outbound({portNumber: 81, filterChain: {filter: {name: MANAGER}}}),
    outbound({portNumber: 80, filterChain: {filter: {name: MANAGER}}}),
  ],
  [
    'by a name that filters had once',
    outbound({filterChain: {filter: {name: 'envoy.http_connection_manager'}}}),
    outbound({filterChain: {filter: {name: MANAGER}}}),
  ],
  [
    'by a version',
    {...outbound({filterChain: {filter: {name: MANAGER}}}), proxy: {proxyVersion: '^1\\.28.*'}},
    {...outbound({filterChain: {filter: {name: MANAGER}}}), proxy: {proxyVersion: '^1\\.31.*'}},
  ],
];

describe('verify', () => {
  const it = meshTest('squid');
  const generated = intentOf([{at: 'Sidecar', namespace: 'app', selector: {matchLabels: {egress: 'asked'}}}]);
  let world: MeshWorld;
  let squid: Parent;
  beforeAll(async () => {
    world = await meshWorld({
      policies: [POLICY, PROXY],
      sites: [
        {name: 'allowed.test', ip: '5.6.40.1'},
        {name: 'evil.test', ip: EVIL},
      ],
      names: {'squid.corp.test': SQUID},
      prepare: async (lab, dir) => void (squid = await startSquid(lab, dir, RESOLVER, {ips: [SQUID], port: PORT})),
    });
  }, 120_000);
  afterAll(async () => {
    await squid.stop();
    await world.close();
  }, 60_000);

  // A service of the mesh on port 80, so that there is an HTTP filter chain beside the proxy's.
  const KNOWN = entry('known', {
    hosts: ['evil.test'],
    location: 'MESH_EXTERNAL',
    resolution: 'DNS',
    ports: [{number: 80, name: 'http', protocol: 'HTTP'}],
  });
  const around = (...objects: readonly Named[]): Surroundings => ({
    ...NOTHING,
    proxies: [
      {kind: 'Pod', metadata: {name: 'app', namespace: 'app', labels: {app: 'web', egress: 'asked'}}, version: '1.31'},
    ],
    serviceEntries: [KNOWN, ...objects].filter(({kind}) => kind === 'ServiceEntry') as never,
    services: [
      {
        kind: 'Service',
        metadata: {name: EXTAUTHZ.name, namespace: EXTAUTHZ.namespace},
        spec: {ports: [{port: EXTAUTHZ.port, name: 'grpc'}]},
      },
    ],
    sidecars: objects.filter(({kind}) => kind === 'Sidecar') as never,
    envoyFilters: objects.filter(({kind}) => kind === 'EnvoyFilter') as never,
    mesh: stringify(generated.settings),
  });
  const codes = (intent: FromIntent, ...objects: readonly Named[]): readonly string[] =>
    conflicts(intent.mesh, intent.proxies, around(...objects)).map(({code}) => code);

  /** The first of these that does not go as it should; null where all do. */
  const broken = async (...objects: readonly Named[]): Promise<string | null> => {
    const texts = [KNOWN, ...objects].map((one) => stringify(one));
    // What was there before counts: a cluster's objects have dates.
    const ours = generated.yaml.replace(/^metadata:$/gm, `metadata:\n  creationTimestamp: "2026-01-02T00:00:00Z"`);
    const mesh = await world.mesh([...texts, ours], generated.settings);
    try {
      const allowed = await world.tried('-x', `http://${SQUID}:${PORT}`, 'https://allowed.test/');
      if (allowed.connect !== 200) return `an allowed CONNECT: ${allowed.connect}`;
      const refused = await world.tried('-x', `http://${SQUID}:${PORT}`, 'https://evil.test/');
      if (refused.connect !== 403) return `a refused CONNECT: ${refused.connect}`;
      const direct = await world.tried('http://evil.test/');
      return direct.answer[0] === 403 ? null : `a refused request: ${direct.answer[0]}`;
    } finally {
      await mesh.stop();
    }
  };

  it('finds nothing where nothing is in the way', async () => {
    expect(codes(generated)).toEqual([]);
    expect(await broken()).toBeNull();
  }, 60_000);

  it.each(CONFLICTS)(
    '%s breaks something, and is found',
    async (_what, object, code) => {
      expect(await broken(object)).not.toBeNull();
      expect(codes(generated, object)).toEqual([code]);
    },
    60_000,
  );

  it.each(UNMATCHED)(
    'an EnvoyFilter of others that matches nothing, %s, changes nothing, and is found',
    async (_what, wrong, right) => {
      const changing = (match: object): Named =>
        theirs({
          applyTo: 'NETWORK_FILTER',
          match,
          patch: {
            operation: 'MERGE',
            value: {
              typed_config: {
                '@type':
                  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                server_name: 'seen-in-the-configuration',
              },
            },
          },
        });
      for (const [match, seen] of [
        [wrong, false],
        [right, true],
      ] as const) {
        const objects = [KNOWN, changing(match)].map((one) => stringify(one));
        const mesh = await world.mesh([...objects, generated.yaml], generated.settings);
        expect((await mesh.envoy.admin('/config_dump')).includes('seen-in-the-configuration')).toBe(seen);
        await mesh.stop();
        // What is generated stands in the cluster beside it, as its listeners' names do.
        const ours = generated.objects.filter(({object}) => object.kind === 'ServiceEntry').map(({object}) => object);
        expect(codes(generated, changing(match), ...(ours as never[]))).toEqual(seen ? [] : ['FilterMatchesNothing']);
      }
    },
    60_000,
  );

  it('another name for the proxy’s address and port is in nobody’s way', async () => {
    const other = entry('other', {
      hosts: ['other.test'],
      addresses: [`${SQUID}/32`],
      ports: [{number: PORT, name: 'http', protocol: 'HTTP'}],
      location: 'MESH_EXTERNAL',
      resolution: 'NONE',
    });
    expect(await broken(other)).toBeNull();
    expect(codes(generated, other)).toEqual([]);
  }, 60_000);

  it('a TCP service without addresses opens its port everywhere, and is found', async () => {
    const open = entry('open', {
      hosts: ['database.test'],
      ports: [{number: PORT, name: 'tcp', protocol: 'TCP'}],
      location: 'MESH_EXTERNAL',
      resolution: 'NONE',
    });
    const unasked = intentOf([]);
    const logged = {accessLogFile: '/dev/stdout', accessLogEncoding: 'JSON'};
    const mesh = await world.mesh([stringify(open), unasked.yaml], {...logged, ...unasked.settings});
    await world.tried(`http://${EVIL}:${PORT}/`);
    expect(await mesh.envoy.logged(({downstream_local_address: to}) => to === `${EVIL}:${PORT}`)).toMatchObject({
      upstream_cluster: `outbound|${PORT}||database.test`,
    });
    await mesh.stop();
    expect(codes(unasked, open)).toEqual(['OpenPort']);
  }, 60_000);
});
