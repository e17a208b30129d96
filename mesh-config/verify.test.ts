/** What needs no mesh to be seen; test/mesh/verify.mesh.test.ts shows that the rest does break one. */
import {describe, expect, test} from '@jest/globals';
import {loadDocuments} from '../policy/index.ts';
import type {ProxyService} from './external-proxy.ts';
import {NOTHING} from './testing/nothing.ts';
import type {Surroundings} from './surroundings.ts';
import {addressDrift, conflicts} from './verify.ts';

const HEAD = 'apiVersion: sallyport.dev/v1alpha1\nkind: MeshEgress\nmetadata: {name: default}\n';
const meshOf = (spec: string) => loadDocuments([{file: 'mesh.yaml', text: `${HEAD}spec: ${spec}\n`}]).setups[0]!;
const PROXY: ProxyService = {
  proxy: 'corp',
  name: 'sallyport-proxy-corp',
  host: 'squid.corp.example',
  port: 3128,
  addresses: ['10.1.2.3', '10.1.2.4'],
  namespaces: ['shop'],
  tls: null,
  wantsCredentials: false,
};
const at = (kind: string, name: string, namespace: string, labels = {}) => ({
  kind,
  metadata: {name, namespace, labels},
});
const EXTAUTHZ = {
  ...at('Service', 'sallyport-extauthz', 'sallyport'),
  spec: {ports: [{port: 9000, appProtocol: 'grpc'}]},
};
const WEB = {...at('Pod', 'web', 'shop', {app: 'web'}), version: '1.31'};
const OURS = {'app.kubernetes.io/managed-by': 'sallyport', 'sallyport.dev/mesh-egress': 'default'};
const AROUND: Surroundings = {...NOTHING, proxies: [WEB], services: [EXTAUTHZ]};
const SHOP = '{enforcement: [{at: Sidecar, namespace: shop}]}';
const codes = (around: Partial<Surroundings>, spec = SHOP, proxies = [PROXY]): readonly string[] =>
  conflicts(meshOf(spec), proxies, {...AROUND, ...around}).map(({code}) => code);

describe('verify', () => {
  test('nothing is in the way of nothing', () => {
    expect(codes({})).toEqual([]);
  });

  test('without enforcement nobody asks, and no extauthz is needed', () => {
    expect(codes({services: []}, '{}')).toEqual([]);
  });

  test('a port that is not there', () => {
    const service = {...EXTAUTHZ, spec: {ports: [{port: 9001, name: 'grpc'}]}};
    expect(codes({services: [service]})).toEqual(['NoExtauthz']);
  });

  const same = (exportTo: readonly string[] | undefined, namespace: string, labels = {}) => ({
    ...at('ServiceEntry', 'same', namespace, labels),
    spec: {
      hosts: [PROXY.host],
      ports: [{number: 3128, protocol: 'TCP'}],
      ...(exportTo === undefined ? {} : {exportTo}),
    },
  });
  test.each([
    ['seen by everybody', same(undefined, 'other'), ['SameHost']],
    ['seen by the pods that use the proxy', same(['shop'], 'other'), ['SameHost']],
    ['of their own namespace', same(['.'], 'shop'), ['SameHost']],
    ['of another namespace alone', same(['.'], 'other'), []],
    ['that we have made', same(undefined, 'istio-system', OURS), []],
  ])('a ServiceEntry with the proxy’s host %s', (_what, entry, found) => {
    expect(codes({serviceEntries: [entry]})).toEqual(found);
  });

  const sidecar = (...hosts: readonly string[]) => ({...at('Sidecar', 'default', 'shop'), spec: {egress: [{hosts}]}});
  test.each([
    ['everything', ['*/*'], []],
    ['both by namespace', ['./*', 'istio-system/*', 'sallyport/*'], []],
    ['both by suffix', ['*/*.corp.example', '*/*.cluster.local'], []],
    ['neither', ['./*'], ['HiddenBySidecar', 'HiddenBySidecar']],
    ['the proxy alone', ['istio-system/squid.corp.example'], ['HiddenBySidecar']],
  ])('a Sidecar resource that shows %s', (_what, hosts, found) => {
    expect(codes({sidecars: [sidecar(...hosts)]})).toEqual(found);
  });

  const GATEWAY = '{enforcement: [{at: EgressGateway, namespace: shop}]}';
  const CHAINED = '{chain: [{name: corp}], enforcement: [{at: Sidecar, namespace: shop}]}';
  test.each([
    [
      'not the gateway, to which all that leaves goes',
      GATEWAY,
      ['sallyport/*'],
      ['istio-egress/egress-gateway.sallyport.internal'],
    ],
    ['not extauthz, which the gateway asks', GATEWAY, ['istio-egress/*'], []],
    ['not what makes HTTP of port 80', CHAINED, ['sallyport/*'], ['istio-system/plain-http.sallyport.internal']],
    ['what makes HTTP of port 80', CHAINED, ['sallyport/*', 'istio-system/*'], []],
    [
      'nothing, and a waypoint asks',
      '{enforcement: [{at: Waypoint, namespace: shop, hosts: [a.example]}]}',
      ['./*'],
      [],
    ],
  ])('a Sidecar resource that shows %s', (_what, spec, hosts, missing) => {
    const found = conflicts(meshOf(spec.replace('{', '{extauthz: {identity: extauthz.test}, ')), [], {
      ...AROUND,
      sidecars: [sidecar(...hosts)],
    });
    expect(found.map(({code, fix}) => [code, fix])).toEqual(
      missing.map((host) => ['HiddenBySidecar', expect.stringContaining(`"${host}"`)]),
    );
  });

  test('a Sidecar resource of any namespace, where the root namespace is the scope', () => {
    const spec = '{enforcement: [{at: Sidecar, namespace: istio-system}]}';
    expect(codes({sidecars: [sidecar('./*')]}, spec, [])).toEqual(['HiddenBySidecar']);
  });

  test('a Sidecar resource of another namespace is nobody’s business', () => {
    expect(codes({sidecars: [{...sidecar('./*'), metadata: {name: 'default', namespace: 'other'}}]})).toEqual([]);
  });

  test('a Sidecar resource that opens what is closed', () => {
    const opening = {...at('Sidecar', 'default', 'shop'), spec: {outboundTrafficPolicy: {mode: 'ALLOW_ANY'}}};
    expect(codes({sidecars: [opening]})).toEqual(['OpenedBySidecar']);
    expect(codes({sidecars: [opening]}, '{outboundTrafficPolicy: AllowAny, enforcement: [{at: Sidecar}]}')).toEqual([]);
  });

  test('what lets everything pass while its service is away', () => {
    const filter = (context: string) => ({
      ...at('EnvoyFilter', 'theirs', 'shop'),
      spec: {configPatches: [{match: {context}, patch: {operation: 'ADD', value: {failure_mode_allow: true}}}]},
    });
    expect(codes({envoyFilters: [filter('SIDECAR_OUTBOUND')]})).toEqual(['FailsOpen']);
    expect(codes({envoyFilters: [filter('SIDECAR_INBOUND')]})).toEqual([]);
    const provider =
      'extensionProviders:\n- {name: other, envoyExtAuthzGrpc: {failOpen: true}}\n- {name: ours, envoyExtAuthzGrpc: {}}\n';
    expect(codes({mesh: provider})).toEqual(['FailsOpen']);
    expect(codes({mesh: '{'})).toEqual(['MeshUnreadable']);
  });

  test.each([
    ['the same', ['10.1.2.3', '10.1.2.4'], []],
    ['one more', ['10.1.2.3', '10.1.2.4', '10.1.2.5'], ['10.1.2.5, which is not listed']],
    ['one less', ['10.1.2.4'], ['not the address 10.1.2.3 any more']],
    ['nothing', null, ['cannot be looked up here']],
  ])('the proxy’s name has %s', (_what, resolved, says) => {
    const found = addressDrift(PROXY, resolved);
    expect(found.map(({message}) => message)).toEqual(says.map((text) => expect.stringContaining(text)));
  });
});
