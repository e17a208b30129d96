/** test/mesh/steered.mesh.test.ts shows with a real istiod that requests do go elsewhere. */
import {describe, expect, test} from '@jest/globals';
import {loadDocuments} from '../policy/index.ts';
import {pinned, pinnedElsewhere, steered} from './steered.ts';
import type {ServiceEntry, Surroundings, VirtualService, WasmPlugin} from './surroundings.ts';
import {NOTHING} from './testing/nothing.ts';

const HEAD = 'apiVersion: sallyport.dev/v1alpha1\nkind: MeshEgress\nmetadata: {name: default}\n';
const meshOf = (enforcement = '{at: Sidecar, namespace: shop}') =>
  loadDocuments([
    {
      file: 'mesh.yaml',
      text: `${HEAD}spec: {extauthz: {identity: extauthz.test}, enforcement: [${enforcement}]}\n`,
    },
  ]).setups[0]!;
const entry = (
  hosts: readonly string[],
  more: Partial<ServiceEntry['spec']> = {},
  namespace = 'shop',
): ServiceEntry => ({
  kind: 'ServiceEntry',
  metadata: {name: 'known', namespace},
  spec: {hosts, location: 'MESH_EXTERNAL', resolution: 'DNS', ...more},
});
const OUTSIDE = entry(['known.test', 'evil.test', '*.wild.test']);
const INSIDE = entry(['inside.test'], {
  ...{location: 'MESH_INTERNAL', resolution: 'STATIC'},
  endpoints: [{address: '10.1.2.3'}],
});
const found = (around: Partial<Surroundings>, enforcement?: string) =>
  steered(meshOf(enforcement), {...NOTHING, serviceEntries: [OUTSIDE, INSIDE], ...around}).map(
    ({code, object, message}) => `${code}: ${object}: ${message}`,
  );
const virtual = (spec: VirtualService['spec'], namespace = 'shop'): Partial<Surroundings> => ({
  virtualServices: [
    {kind: 'VirtualService', metadata: {name: 'theirs', namespace}, spec: {hosts: ['known.test'], ...spec}},
  ],
});
const to = (...hosts: readonly string[]) => ({route: hosts.map((host) => ({destination: {host}}))});

describe('a VirtualService', () => {
  test.each<[string, VirtualService['spec'], string]>([
    ['routes requests', {http: [to('evil.test')]}, 'known.test it sends to evil.test'],
    ['routes some of them', {http: [to('known.test'), to('known.test', 'evil.test')]}, 'it sends to evil.test'],
    ['routes TLS', {tls: [{match: [{sniHosts: ['known.test']}], ...to('evil.test')}]}, 'it sends to evil.test'],
    ['routes bytes', {tcp: [to('evil.test')]}, 'it sends to evil.test'],
    ['sends copies', {http: [{...to('known.test'), mirror: {host: 'evil.test'}}]}, 'it sends to evil.test'],
    [
      'sends copies to many',
      {http: [{...to('known.test'), mirrors: [{destination: {host: 'evil.test'}}]}]},
      'it sends to evil.test',
    ],
    [
      'routes a name of the mesh',
      {hosts: ['inside.test'], http: [to('evil.test')]},
      'inside.test it sends to evil.test',
    ],
    ['is for others to hand over to', {hosts: [], http: [to('evil.test')]}, 'what another one hands to it it sends'],
    ['names the mesh beside a gateway', {gateways: ['ingress', 'mesh'], http: [to('evil.test')]}, 'it sends to'],
    ['writes another path', {http: [{...to('known.test'), rewrite: {uri: '/private'}}]}, 'known.test it rewrites'],
    [
      'writes another host',
      {http: [{...to('known.test'), headers: {request: {set: {Host: 'evil.test'}}}}]},
      'it rewrites',
    ],
  ])('that %s past the question', (_what, spec, says) => {
    expect(found(virtual(spec))).toEqual([expect.stringMatching(/^SentElsewhere: VirtualService shop\/theirs: /)]);
    expect(found(virtual(spec))[0]).toContain(says);
  });

  test('that is exported to nobody by an empty list is exported to all, as Istio reads it', () => {
    expect(found(virtual({exportTo: [], http: [to('evil.test')]}, 'bank'))).toHaveLength(1);
  });

  const ELSEWHERE = {http: [to('evil.test')]};
  test.each<[string, readonly string[]]>([
    ['to where it was asked about', found(virtual({http: [to('known.test')]}))],
    [
      'of each name to itself',
      found(
        virtual({
          hosts: ['known.test', 'evil.test'],
          tls: ['known.test', 'evil.test'].map((name) => ({match: [{sniHosts: [name]}], ...to(name)})),
          http: [{match: [{authority: {exact: 'evil.test'}}], ...to('evil.test')}],
        }),
      ),
    ],
    ['to a service of the mesh', found(virtual({http: [{...to('inside.test', 'shop'), rewrite: {uri: '/'}}]}))],
    ['with another header', found(virtual({http: [{...to('known.test'), headers: {request: {set: {'x-a': 'b'}}}}]}))],
    ['at a gateway', found(virtual({gateways: ['ingress'], ...ELSEWHERE}))],
    ['that asking pods do not see', found(virtual({exportTo: ['.'], ...ELSEWHERE}, 'bank'))],
    ['where the gateway asks', found(virtual(ELSEWHERE), '{at: EgressGateway, namespace: shop}')],
  ])('%s is let be', (_what, messages) => expect(messages).toEqual([]));
});

describe('a Sidecar resource', () => {
  const sidecar = (outboundTrafficPolicy: object, namespace = 'shop'): Partial<Surroundings> => ({
    sidecars: [{kind: 'Sidecar', metadata: {name: 'default', namespace}, spec: {outboundTrafficPolicy}}],
  });
  const PROXY = {mode: 'ALLOW_ANY', egressProxy: {host: 'evil.test'}};
  test.each<[string, Partial<Surroundings>, number]>([
    ['that sends the unknown to a proxy', sidecar(PROXY), 1],
    ['of the whole mesh', sidecar(PROXY, 'istio-system'), 1],
    ['that does not', sidecar({mode: 'ALLOW_ANY'}), 0],
    ['of another namespace', sidecar(PROXY, 'bank'), 0],
  ])('%s', (_what, around, count) => expect(found(around)).toHaveLength(count));
});

describe('code in a sidecar that asks', () => {
  const wasm = (spec: WasmPlugin['spec'], namespace = 'shop'): Partial<Surroundings> => ({
    wasmPlugins: [{kind: 'WasmPlugin', metadata: {name: 'theirs', namespace}, spec}],
  });
  const lua = (context: string | undefined, namespace = 'shop', labels = {}): Partial<Surroundings> => ({
    envoyFilters: [
      {
        kind: 'EnvoyFilter',
        metadata: {name: 'theirs', namespace, labels},
        spec: {
          configPatches: [
            {
              match: context === undefined ? {} : {context},
              patch: {operation: 'INSERT_BEFORE', value: {name: 'envoy.filters.http.lua'}},
            },
          ],
        },
      },
    ],
  });
  const OURS = {'app.kubernetes.io/managed-by': 'sallyport', 'sallyport.dev/mesh-egress': 'default'};
  test.each<[string, Partial<Surroundings>, number]>([
    ['a WasmPlugin', wasm({}), 1],
    ['a WasmPlugin of the whole mesh', wasm({}, 'istio-system'), 1],
    ['a WasmPlugin of both directions', wasm({match: [{mode: 'CLIENT_AND_SERVER'}]}), 1],
    ['a WasmPlugin for what comes in', wasm({match: [{mode: 'SERVER'}]}), 0],
    ['a WasmPlugin of a gateway', wasm({targetRefs: [{}]}), 0],
    ['a WasmPlugin that refers to nothing', wasm({targetRefs: []}), 1],
    ['a WasmPlugin of a gateway, by its older field', wasm({targetRef: {}}), 0],
    ['a WasmPlugin of another namespace', wasm({}, 'bank'), 0],
    ['a Lua filter', lua('SIDECAR_OUTBOUND'), 1],
    ['a Lua filter anywhere', lua(undefined), 1],
    ['a Lua filter of the whole mesh', lua('ANY', 'istio-system'), 1],
    ['a Lua filter for what comes in', lua('SIDECAR_INBOUND'), 0],
    ['a Lua filter of another namespace', lua('ANY', 'bank'), 0],
    ['a Lua filter of ours', lua('ANY', 'shop', OURS), 0],
  ])('%s', (_what, around, count) => {
    expect(found(around)).toHaveLength(count);
  });

  const patched = (applyTo: string, operation: string, value: unknown, context = 'SIDECAR_OUTBOUND') => ({
    envoyFilters: [
      {
        kind: 'EnvoyFilter',
        metadata: {name: 'theirs', namespace: 'shop'},
        spec: {configPatches: [{applyTo, match: {context}, patch: {operation, value}}]},
      },
    ],
  });
  const TCP = {typed_config: {cluster: 'outbound|80||evil.test'}};
  test.each<[string, Partial<Surroundings>, number]>([
    ['adds a listener', patched('LISTENER', 'ADD', {filter_chains: [{filters: [TCP]}]}), 1],
    ['adds a filter that ends the chain', patched('NETWORK_FILTER', 'INSERT_FIRST', TCP), 1],
    ['routes', patched('HTTP_ROUTE', 'MERGE', {route: {cluster: 'outbound|80||evil.test'}}), 1],
    ['routes, in camel case', patched('HTTP_ROUTE', 'MERGE', {route: {weightedClusters: {}}}), 1],
    ['copies', patched('HTTP_ROUTE', 'MERGE', {route: {request_mirror_policies: []}}), 1],
    ['rewrites the path', patched('VIRTUAL_HOST', 'MERGE', {routes: [{route: {prefix_rewrite: '/private'}}]}), 1],
    ['gives a cluster other endpoints', patched('CLUSTER', 'MERGE', {load_assignment: {}}), 1],
    ['adds a cluster that nobody names', patched('CLUSTER', 'ADD', {name: 'a', load_assignment: {}}), 0],
    ['gives a cluster a time-out', patched('CLUSTER', 'MERGE', {connect_timeout: '1s'}), 0],
    ['takes a listener away', patched('LISTENER', 'REMOVE', undefined), 0],
    ['asks a rate limit', patched('HTTP_FILTER', 'INSERT_FIRST', {envoy_grpc: {cluster_name: 'limits'}}), 0],
    ['writes filter state', patched('HTTP_FILTER', 'INSERT_FIRST', {name: 'envoy.filters.http.set_filter_state'}), 1],
    ['writes metadata', patched('HTTP_FILTER', 'INSERT_FIRST', {name: 'envoy.filters.http.set_metadata'}), 1],
    [
      'makes metadata of headers',
      patched('HTTP_FILTER', 'INSERT_FIRST', {name: 'envoy.filters.http.header_to_metadata'}),
      1,
    ],
    ['changes headers', patched('HTTP_FILTER', 'INSERT_FIRST', {name: 'envoy.filters.http.header_mutation'}), 1],
    ['loads a library', patched('HTTP_FILTER', 'INSERT_FIRST', {name: 'envoy.filters.http.dynamic_modules'}), 1],
    ['is for what comes in', patched('LISTENER', 'ADD', TCP, 'SIDECAR_INBOUND'), 0],
  ])('an EnvoyFilter that %s', (_what, around, count) => expect(found(around)).toHaveLength(count));

  const GATEWAY = '{at: EgressGateway, namespace: shop}';
  const WAYPOINT = '{at: Waypoint, namespace: shop, hosts: [a.example]}';
  const LABELLED = '{at: Sidecar, namespace: shop, selector: {matchLabels: {app: web}}}';
  const EVERY = {group: 'gateway.networking.k8s.io', kind: 'GatewayClass', name: 'istio-waypoint'};
  const to = (namespace: string): Partial<Surroundings> => ({
    envoyFilters: lua('ANY', namespace).envoyFilters!.map((one) => ({...one, spec: {...one.spec, targetRefs: [{}]}})),
  });
  test.each<[string, Partial<Surroundings>, string, number]>([
    ['a Lua filter at the egress gateway', lua('GATEWAY', 'istio-egress'), GATEWAY, 1],
    ['a Lua filter at every gateway', lua('GATEWAY', 'istio-system'), GATEWAY, 1],
    ['a Lua filter at a gateway of others', lua('GATEWAY', 'shop'), GATEWAY, 0],
    ['a Lua filter of sidecars that hand over to it, which asks after them', lua('SIDECAR_OUTBOUND'), GATEWAY, 0],
    ['a Lua filter at gateways where sidecars ask', lua('GATEWAY', 'istio-system'), '{at: Sidecar}', 0],
    ['a WasmPlugin at the egress gateway', wasm({}, 'istio-egress'), GATEWAY, 1],
    ['a Lua filter at the waypoint', to('shop'), WAYPOINT, 1],
    ['a Lua filter at a waypoint of others', to('bank'), WAYPOINT, 0],
    [
      'a WasmPlugin of others beside the gateway',
      wasm({selector: {matchLabels: {istio: 'x'}}}, 'istio-egress'),
      GATEWAY,
      0,
    ],
    ['a WasmPlugin of pods beside the scope', wasm({selector: {matchLabels: {app: 'x'}}}), LABELLED, 0],
    ['a WasmPlugin of pods of the scope', wasm({selector: {matchLabels: {app: 'web'}}}), LABELLED, 1],
    ['a WasmPlugin of pods that may be of the scope', wasm({selector: {matchLabels: {tier: 'x'}}}), LABELLED, 1],
    ['a WasmPlugin at the waypoint', wasm({targetRefs: [{}]}), WAYPOINT, 1],
    ['a WasmPlugin at the waypoint, by its older field', wasm({targetRef: {}}), WAYPOINT, 1],
    ['a WasmPlugin at every waypoint', wasm({targetRefs: [EVERY]}, 'istio-system'), WAYPOINT, 1],
    ['a WasmPlugin at one waypoint of the root namespace', wasm({targetRefs: [{}]}, 'istio-system'), WAYPOINT, 0],
  ])('%s', (_what, around, enforcement, count) => expect(found(around, enforcement)).toHaveLength(count));

  test('everywhere, where every sidecar asks', () => {
    for (const enforcement of ['{at: Sidecar}', '{at: Sidecar, namespace: istio-system}'])
      expect([found(wasm({}, 'bank'), enforcement).length, found(lua('ANY', 'bank'), enforcement).length]).toEqual([
        1, 1,
      ]);
  });
});

describe('a ServiceEntry with endpoints', () => {
  const at = (...addresses: readonly string[]) =>
    entry(['known.test', '*.wild.test'], {resolution: 'STATIC', endpoints: addresses.map((address) => ({address}))});
  test.each<[string, ServiceEntry, readonly string[] | null, number]>([
    ['the name’s own', at('5.6.7.8'), ['5.6.7.8', '5.6.7.9'], 0],
    ['the name itself', at('known.test'), ['5.6.7.8'], 0],
    ['one of somebody else', at('5.6.7.8', '6.6.6.6'), ['5.6.7.8'], 1],
    ['another name', at('evil.test'), ['5.6.7.8'], 1],
    ['those of a name that has none', at('6.6.6.6'), null, 0],
  ])('%s', (_what, one, resolved, count) => {
    expect(pinnedElsewhere(one, 'known.test', resolved)).toHaveLength(count);
  });

  test('is looked at where asking pods see it, and by names that can be looked up', () => {
    const looked = (one: ServiceEntry, enforcement?: string) =>
      pinned(meshOf(enforcement), {...NOTHING, serviceEntries: [one]}).map(({host}) => host);
    expect(looked(at('6.6.6.6'))).toEqual(['known.test']);
    expect(looked(entry(['known.test']))).toEqual([]);
    const inside = {location: 'MESH_INTERNAL'};
    expect(looked({...at('10.1.2.3'), spec: {...at('10.1.2.3').spec, ...inside}})).toEqual([]);
    // It is of the mesh for who wrote it, and nobody else.
    expect(looked({...at('6.6.6.6'), spec: {...at('6.6.6.6').spec, ...inside}})).toEqual(['known.test']);
    expect(looked({...at('6.6.6.6'), spec: {...at('6.6.6.6').spec, exportTo: ['bank']}})).toEqual([]);
    expect(looked(at('6.6.6.6'), '{at: EgressGateway, namespace: shop}')).toEqual([]);
  });
});
