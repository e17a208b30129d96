import {describe, expect, test} from '@jest/globals';
import {loadDocuments} from '../policy/index.ts';
import {allocated} from './allocated.ts';
import type {ServiceEntry, Surroundings} from './surroundings.ts';
import {NOTHING} from './testing/nothing.ts';

const HEAD = 'apiVersion: sallyport.dev/v1alpha1\nkind: MeshEgress\nmetadata: {name: default}\n';
const CAPTURES = 'defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}}\n';
const found = (
  spec: Partial<ServiceEntry['spec']>,
  {
    mesh = CAPTURES,
    labels = {},
    enforcement = '{at: Sidecar, namespace: shop}',
    annotation = '',
  }: {mesh?: string | null; labels?: Record<string, string>; enforcement?: string; annotation?: string} = {},
) => {
  const text = `${HEAD}spec: {extauthz: {identity: extauthz.test}, enforcement: [${enforcement}]}\n`;
  const entry: ServiceEntry = {
    kind: 'ServiceEntry',
    metadata: {name: 'known', namespace: 'shop', labels},
    spec: {hosts: ['known.test'], location: 'MESH_EXTERNAL', resolution: 'DNS', ...spec},
  };
  const pod = {
    kind: 'Pod',
    metadata: {name: 'web', namespace: 'shop', annotations: {'proxy.istio.io/config': annotation}},
    ...{hasProxy: true, hostNetwork: false, containers: [], proxyUser: 1337, proxyGroup: 1337},
  };
  const around: Surroundings = {...NOTHING, serviceEntries: [entry], pods: [pod], mesh};
  return allocated(loadDocuments([{file: 'mesh.yaml', text}]).setups[0]!, around).map(({code}) => code);
};
const OURS = {'app.kubernetes.io/managed-by': 'sallyport', 'sallyport.dev/mesh-egress': 'default'};

describe('a name that has an address of the mesh', () => {
  test.each<[string, readonly string[]]>([
    ['by the mesh configuration', found({})],
    ['by a boolean of YAML', found({}, {mesh: CAPTURES.replace('"true"', 'true')})],
    [
      'by the pod’s own configuration',
      found({}, {mesh: null, annotation: 'proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}'}),
    ],
    [
      'in every namespace, where the root namespace is the scope',
      found({exportTo: ['bank']}, {enforcement: '{at: Sidecar, namespace: istio-system}'}),
    ],
    ['with endpoints', found({resolution: 'STATIC', endpoints: [{address: '5.6.7.8'}]})],
  ])('%s is refused, and that is found', (_what, codes) => expect(codes).toEqual(['AddressOfTheMesh']));

  test.each<[string, readonly string[]]>([
    ['sidecars that answer no DNS', found({}, {mesh: 'trustDomain: corp\n'})],
    ['no mesh configuration', found({}, {mesh: null})],
    ['one that cannot be read', found({}, {mesh: '{'})],
    ['addresses of its own', found({addresses: ['5.6.7.8/32']})],
    ['no look-up', found({resolution: 'NONE'})],
    ['patterns alone', found({hosts: ['*.known.test']})],
    ['the label against it', found({}, {labels: {'networking.istio.io/enable-autoallocate-ip': 'false'}})],
    ['a service of the mesh', found({location: 'MESH_INTERNAL'})],
    ['what is generated', found({}, {labels: OURS})],
    ['what asking pods do not see', found({exportTo: ['bank']})],
    ['where the gateway asks', found({}, {enforcement: '{at: EgressGateway, namespace: shop}'})],
  ])('with %s there is none', (_what, codes) => expect(codes).toEqual([]));
});
