/** What verify says of others' objects; test/mesh/verify.mesh.test.ts shows with a real istiod that it is so. */
import {describe, expect, test} from '@jest/globals';
import {loadDocuments} from '../policy/index.ts';
import {namesToResolve} from './others.ts';
import {NOTHING} from './testing/nothing.ts';
import type {EnvoyFilter, Proxy, ServiceEntry, Surroundings} from './surroundings.ts';
import {conflicts} from './verify.ts';
import {versionIn} from './versions.ts';

const HEAD = 'apiVersion: sallyport.dev/v1alpha1\nkind: MeshEgress\nmetadata: {name: default}\n';
const meshOf = (version: string, enforcement = '{at: Sidecar, namespace: shop}') =>
  loadDocuments([
    {
      file: 'mesh.yaml',
      text: `${HEAD}spec: {istio: {version: "${version}"}, extauthz: {identity: extauthz.test}, enforcement: [${enforcement}]}\n`,
    },
  ]).setups[0]!;
const pod = (version: string | null, name = 'web', namespace = 'shop'): Proxy => ({
  kind: 'Pod',
  metadata: {name, namespace, labels: {app: 'web'}},
  version,
});
const SERVICE = (name: string, namespace: string, port: number) => ({
  kind: 'Service',
  metadata: {name, namespace},
  spec: {clusterIPs: ['10.96.0.7'], ports: [{port, name: 'grpc'}]},
});
const ENTRY: ServiceEntry = {
  kind: 'ServiceEntry',
  metadata: {name: 'db', namespace: 'shop'},
  spec: {
    hosts: ['db.example'],
    addresses: ['10.1.2.3/32'],
    ports: [{number: 5432, protocol: 'TCP'}],
    resolution: 'NONE',
  },
};
const AROUND: Surroundings = {
  ...NOTHING,
  istiods: [pod('1.31', 'istiod', 'istio-system')],
  proxies: [pod('1.31')],
  serviceEntries: [ENTRY],
  services: [SERVICE('sallyport-extauthz', 'sallyport', 9000)],
};
const found = (around: Partial<Surroundings>, version = '1.31', enforcement?: string) =>
  conflicts(meshOf(version, enforcement), [], {...AROUND, ...around}).map(({code, message}) => `${code}: ${message}`);

type Spec = EnvoyFilter['spec'];
type Patch = NonNullable<Spec['configPatches']>[number];
const filter = (spec: Spec, namespace = 'shop'): Partial<Surroundings> => ({
  envoyFilters: [{kind: 'EnvoyFilter', metadata: {name: 'theirs', namespace}, spec}],
});
const patched = (match: Patch['match'], patch: Patch['patch'] = {operation: 'MERGE'}, applyTo = 'NETWORK_FILTER') =>
  filter({configPatches: [{applyTo, match: {context: 'SIDECAR_OUTBOUND', ...match}, patch}]});

describe('an EnvoyFilter', () => {
  test.each<[string, Partial<Surroundings>, string]>([
    ['for labels that no pod has', filter({workloadSelector: {labels: {app: 'wbe'}}}), 'app: wbe in namespace shop'],
    ['for a namespace without proxies', filter({}, 'empty'), 'no proxy in namespace empty'],
    ['for another version', patched({proxy: {proxyVersion: '^1\\.28.*'}}), 'of version ^1\\.28.*'],
    ['for a version that is no pattern', patched({proxy: {proxyVersion: '('}}), 'of version ('],
    ['by an old name', patched({listener: {filterChain: {filter: {name: 'envoy.tcp_proxy'}}}}), 'envoy.tcp_proxy'],
    ['for a port of nobody', patched({listener: {portNumber: 5433}}), 'port 5433'],
    ['for a listener of nobody', patched({listener: {name: '10.1.2.4_5432'}}), '10.1.2.4_5432'],
    ['for a service that there is not', patched({cluster: {service: 'bd.example'}}), 'bd.example'],
    ['for a cluster that there is not', patched({cluster: {name: 'outbound|5432||bd.example'}}), 'bd.example'],
  ])('%s matches nothing, and that is said', (_what, around, says) => {
    expect(found(around)).toEqual([expect.stringMatching(/^FilterMatchesNothing: /)]);
    expect(found(around)[0]).toContain(says);
  });

  test.each<[string, Partial<Surroundings>]>([
    ['for pods that there are', filter({workloadSelector: {labels: {app: 'web'}}})],
    ['for the whole mesh', filter({}, 'istio-system')],
    ['for this version', patched({proxy: {proxyVersion: '^1\\.31.*'}})],
    ['for a port of a ServiceEntry', patched({listener: {portNumber: 5432}})],
    ['for its listener', patched({listener: {name: '10.1.2.3_5432'}})],
    ['for the listener of a Service', patched({listener: {name: '10.96.0.7_9000'}})],
    ['for every HTTP listener of a port', patched({listener: {name: '0.0.0.0_9000'}})],
    ['for Istio’s own listener', patched({listener: {name: 'virtualOutbound'}})],
    ['for a host of a ServiceEntry', patched({cluster: {service: 'db.example', portNumber: 5432}})],
    ['for a Service', patched({cluster: {name: 'outbound|9000||sallyport-extauthz.sallyport.svc.corp.local'}})],
    ['of a gateway by reference', filter({targetRefs: [{kind: 'Gateway'}]}, 'empty')],
  ])('%s is let be', (_what, around) => {
    expect(found(around)).toEqual([]);
  });

  const asks = (more: object, service: object = {cluster_name: 'mine', authority: 'mine'}) => ({
    operation: 'INSERT_FIRST',
    value: {
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
        grpc_service: {envoy_grpc: service},
        ...more,
      },
    },
  });
  test.each<[string, Partial<Surroundings>, string | null]>([
    ['asks for bodies', patched({}, asks({with_request_body: {max_request_bytes: 10}}), 'HTTP_FILTER'), 'BodyAwaited'],
    ['asks without them', patched({}, asks({}), 'HTTP_FILTER'), null],
    ['asks without an authority', patched({}, asks({}, {cluster_name: 'outbound|9000||a.b'})), 'NoAuthority'],
    ['asks a cluster whose name is one', patched({}, asks({}, {cluster_name: 'mine'})), null],
    ['lets pass what it cannot ask about', patched({}, asks({failure_mode_allow: true})), 'FailsOpen'],
    [
      'sends a port through a proxy',
      patched({listener: {portNumber: 5432}}, {operation: 'MERGE', value: {tunneling_config: {hostname: 'x'}}}),
      'TunnelsByPort',
    ],
    [
      'sends one listener through a proxy',
      patched({listener: {name: '10.1.2.3_5432'}}, {operation: 'MERGE', value: {tunneling_config: {hostname: 'x'}}}),
      null,
    ],
  ])('of others that %s', (_what, around, code) => {
    expect(found(around).map((text) => text.split(':')[0])).toEqual(code === null ? [] : [code]);
  });
});

describe('an EnvoyFilter that lets pass what it cannot ask about', () => {
  const open = (context: string, namespace: string, labels?: Record<string, string>): Partial<Surroundings> => ({
    proxies: [pod('1.31'), pod('1.31', 'web', 'bank'), pod('1.31', 'out', 'istio-egress')].map((one) => ({
      ...one,
      metadata: {...one.metadata, labels: labels ?? {}},
    })),
    serviceEntries: [],
    ...filter(
      {
        ...(labels === undefined ? {} : {workloadSelector: {labels}}),
        configPatches: [{match: {context}, patch: {operation: 'MERGE', value: {failure_mode_allow: true}}}],
      },
      namespace,
    ),
  });
  const GATEWAY = '{at: EgressGateway, namespace: shop}';
  const LABELLED = '{at: Sidecar, namespace: shop, selector: {matchLabels: {app: web}}}';
  test.each<[string, Partial<Surroundings>, string | undefined, number]>([
    ['where pods ask', open('SIDECAR_OUTBOUND', 'shop'), undefined, 1],
    ['where nobody asks', open('SIDECAR_OUTBOUND', 'bank'), undefined, 0],
    ['anywhere, where nobody asks', open('ANY', 'bank'), undefined, 0],
    ['for pods of the scope', open('ANY', 'shop', {app: 'web'}), LABELLED, 1],
    ['for other pods', open('ANY', 'shop', {app: 'job'}), LABELLED, 0],
    ['for the gateway', open('GATEWAY', 'istio-egress'), GATEWAY, 1],
    ['for another gateway beside it', open('GATEWAY', 'istio-egress', {istio: 'ingressgateway'}), GATEWAY, 0],
    ['for sidecars that hand over to it', open('SIDECAR_OUTBOUND', 'shop'), GATEWAY, 0],
  ])('%s', (_what, around, enforcement, count) => {
    expect(found(around, '1.31', enforcement)).toEqual(Array(count).fill(expect.stringContaining('FailsOpen')));
  });
});

describe('a question that somebody takes away', () => {
  const QUESTION = 'envoy.filters.http.ext_authz';
  const ROUTE = 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute';
  const matched = {listener: {filterChain: {filter: {name: 'x', subFilter: {name: QUESTION}}}}};
  const byRoute = (value: object) => ({operation: 'MERGE', value: {typed_per_filter_config: {[QUESTION]: value}}});
  const CASES: readonly [string, Patch][] = [
    ['the filter', {applyTo: 'HTTP_FILTER', match: matched, patch: {operation: 'REMOVE'}}],
    [
      'by another in its place',
      {applyTo: 'HTTP_FILTER', match: matched, patch: {operation: 'REPLACE', value: {name: 'y'}}},
    ],
    ['for a route', {applyTo: 'HTTP_ROUTE', patch: byRoute({'@type': ROUTE, disabled: true})}],
    [
      'for a route, in camel case',
      {patch: {operation: 'MERGE', value: {typedPerFilterConfig: {[QUESTION]: {disabled: true}}}}},
    ],
    [
      'for a host, whatever the type',
      {applyTo: 'VIRTUAL_HOST', patch: byRoute({'@type': 'FilterConfig', disabled: true})},
    ],
    [
      'for a share of requests',
      {match: matched, patch: {operation: 'MERGE', value: {typed_config: {filterEnabled: {}}}}},
    ],
  ];
  const codesOf = (patch: Patch, context: string, enforcement: string, namespace: string, more: object = {}) =>
    conflicts(meshOf('1.31', enforcement), [], {
      ...AROUND,
      serviceEntries: [],
      proxies: [pod(null), pod(null, 'gateway', 'istio-egress')],
      ...filter({configPatches: [{...patch, match: {...patch.match, context}}], ...more}, namespace),
    }).map(({code}) => code);

  test.each(CASES)('%s', (_what, patch) => {
    expect(codesOf(patch, 'SIDECAR_OUTBOUND', '{at: Sidecar}', 'shop')).toEqual(['QuestionRemoved']);
  });

  const [[, removal]] = CASES as [[string, Patch]];
  const GATEWAY = '{at: EgressGateway, namespace: shop}';
  const WAYPOINT = '{at: Waypoint, namespace: shop, hosts: [a.example]}';
  const TO = {targetRefs: [{kind: 'Gateway'}]};
  test.each<[string, string, string, string, object, readonly string[]]>([
    ['at the egress gateway', 'GATEWAY', GATEWAY, 'istio-egress', {}, ['QuestionRemoved']],
    ['at every gateway', 'GATEWAY', GATEWAY, 'istio-system', {}, ['QuestionRemoved']],
    ['at a gateway for what comes in', 'GATEWAY', GATEWAY, 'shop', {}, []],
    ['at gateways where none asks', 'GATEWAY', '{at: Sidecar}', 'istio-egress', {}, []],
    ['at the waypoint', 'SIDECAR_INBOUND', WAYPOINT, 'shop', TO, ['QuestionRemoved']],
    ['at the waypoint of others', 'SIDECAR_INBOUND', WAYPOINT, 'other', TO, []],
    ['of what comes in', 'SIDECAR_INBOUND', WAYPOINT, 'shop', {}, []],
  ])('%s', (_what, context, enforcement, namespace, more, codes) => {
    expect(codesOf(removal, context, enforcement, namespace, more)).toEqual(codes);
  });

  test('who labels it as ours, of no MeshEgress, is found all the same', () => {
    const {envoyFilters} = filter({configPatches: [removal]});
    const labels = {'app.kubernetes.io/managed-by': 'sallyport'};
    const posing = envoyFilters!.map((one) => ({...one, metadata: {...one.metadata, labels}}));
    expect(found({envoyFilters: posing})).toEqual([expect.stringMatching(/^QuestionRemoved: /)]);
  });

  test('what fails open is found in camel case too', () => {
    expect(found(patched({}, {operation: 'ADD', value: {failureModeAllow: true}}))).toEqual([
      expect.stringMatching(/^FailsOpen: /),
    ]);
  });
});

describe('a ServiceEntry', () => {
  test('whose names are looked up before anybody is asked', () => {
    const spec = {...ENTRY.spec, hosts: ['*.example'], resolution: 'DYNAMIC_DNS'};
    expect(found({serviceEntries: [{...ENTRY, spec}]})).toEqual([expect.stringMatching(/^LookedUpFirst: /)]);
  });

  test.each([
    ['none', {resolution: 'NONE', hosts: ['a.example']}, []],
    ['its hosts', {resolution: 'DNS', hosts: ['a.example', '*.b.example']}, ['a.example']],
    [
      'its endpoints',
      {resolution: 'DNS', hosts: ['a.example'], endpoints: [{address: 'c.example'}, {address: '10.1.2.3'}]},
      ['c.example'],
    ],
    ['no address', {resolution: 'DNS', hosts: ['a.example'], endpoints: [{address: 'fd00::a'}]}, []],
  ])('of which %s is looked up by Envoy', (_what, spec, names) => {
    expect(namesToResolve({...ENTRY, spec})).toEqual(names);
  });
});

describe('versions', () => {
  test.each([
    ['1.31', '1.31', []],
    ['1.32', '1.31', []],
    [null, '1.31', []],
    ['1.30', '1.30', []],
    ['1.30', '1.31', ['it is Istio 1.30, and spec.istio.version says 1.31']],
    ['1.28', '1.29', ['it is Istio 1.28: its Envoy does not know upstream_connect_mode, and dials before it asks']],
    ['1.9', '1.29', ['it is Istio 1.9: its Envoy does not know upstream_connect_mode, and dials before it asks']],
  ])('a proxy of %s where %s is said', (version, said, messages) => {
    const expected = messages.map((text) => `VersionTooOld: ${text}`);
    expect(found({istiods: [], proxies: [pod(version)]}, said)).toEqual(expected);
    expect(found({istiods: [pod(version)]}, said)).toEqual(expected);
  });

  test.each([
    ['1.30.2', undefined, '1.30'],
    [undefined, 'docker.io/istio/proxyv2:1.30.2-distroless', '1.30'],
    [undefined, 'registry:5000/istio/proxyv2:v1.31', '1.31'],
    [undefined, 'istio/pilot:1.29.0@sha256:abc', '1.29'],
    [undefined, 'registry:5000/istio/proxyv2', null],
    [undefined, 'istio/proxyv2:latest', null],
    ['1.3x', 'istio/pilot@sha256:abc', null],
    [undefined, undefined, null],
  ])('label %s and image %s say %s', (label, image, version) => {
    expect(versionIn(label, image)).toBe(version);
  });
});
