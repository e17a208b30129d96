import {describe, expect, test} from '@jest/globals';
import {loadDocuments, type UpstreamProxyDocument} from '../policy/index.ts';
import type {ServiceEntry} from './surroundings.ts';
import {NOTHING} from './testing/nothing.ts';
import {unchained} from './unchained.ts';

const TEXT = `apiVersion: sallyport.dev/v1alpha1
kind: MeshEgress
metadata: {name: default}
spec: {enforcement: [{at: Sidecar, namespace: shop}], chain: [{name: corp}]}
---
apiVersion: sallyport.dev/v1alpha1
kind: UpstreamProxy
metadata: {name: corp}
spec: {endpoints: [{url: "http://10.1.2.3:3128"}], hosts: ["*.partner.test", exact.test], except: [not.partner.test]}
`;
const loaded = (text: string) => {
  const {documents, setups} = loadDocuments([{file: 'mesh.yaml', text}]);
  return {mesh: setups[0]!, proxies: documents as readonly UpstreamProxyDocument[]};
};
const found = (spec: Partial<ServiceEntry['spec']>, text = TEXT, labels: Record<string, string> = {}) => {
  const {mesh, proxies} = loaded(text);
  const entry: ServiceEntry = {
    kind: 'ServiceEntry',
    metadata: {name: 'known', namespace: 'shop', labels},
    spec: {hosts: ['a.partner.test'], location: 'MESH_EXTERNAL', ports: [{number: 443, protocol: 'TLS'}], ...spec},
  };
  return unchained(mesh, proxies, {...NOTHING, serviceEntries: [entry]}).map(({message}) => message);
};
const OURS = {'app.kubernetes.io/managed-by': 'sallyport', 'sallyport.dev/mesh-egress': 'default'};

describe('a host that leaves through a parent', () => {
  test.each<[string, Partial<ServiceEntry['spec']>]>([
    ['with a port of TLS', {}],
    ['with a port of bytes', {ports: [{number: 443, protocol: 'TCP'}]}],
    ['with a port of which nothing is said', {ports: [{number: 443}]}],
    ['by pattern', {hosts: ['*.partner.test']}],
    ['by its name', {hosts: ['exact.test']}],
  ])('and has a ServiceEntry %s is refused there', (_what, spec) => {
    expect(found(spec)).toEqual([expect.stringContaining('leaves through UpstreamProxy corp, and on port 443')]);
  });

  test('and has a ServiceEntry is refused in every namespace, where the root namespace is the scope', () => {
    expect(found({exportTo: ['bank']}, TEXT.replace('namespace: shop', 'namespace: istio-system'))).toHaveLength(1);
  });

  test.each<[string, readonly string[]]>([
    ['with plain HTTP alone', found({ports: [{number: 80, protocol: 'HTTP'}]})],
    ['that no parent is for', found({hosts: ['direct.test']})],
    ['that is excepted', found({hosts: ['not.partner.test']})],
    ['of the mesh', found({location: 'MESH_INTERNAL', resolution: 'STATIC', endpoints: [{address: '10.1.2.3'}]})],
    ['that asking pods do not see', found({exportTo: ['bank']})],
    ['that was generated', found({}, TEXT, OURS)],
    ['where nothing is chained', found({}, TEXT.replace(', chain: [{name: corp}]', ''))],
    ['where another parent is', found({}, TEXT.replace('{name: corp}]}', '{name: other}]}'))],
  ])('%s is let be', (_what, messages) => expect(messages).toEqual([]));
});
