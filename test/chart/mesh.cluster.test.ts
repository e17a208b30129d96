/** The chart and what `sallyport mesh-config` makes of a MeshEgress: they fit, as they come and with certificates of the mesh. */
import {describe, expect} from '@jest/globals';
import {stringify} from 'yaml';
import {extauthzSettings} from '../../extauthz/settings.ts';
import type {Service} from '../../mesh-config/surroundings.ts';
import {NOTHING} from '../../mesh-config/testing/nothing.ts';
import {conflicts} from '../../mesh-config/verify.ts';
import {clusterTest} from '../cluster/require.ts';
import {fromIntent} from '../mesh/generated.ts';
import {find, rendered, template} from './helm.ts';

const it = clusterTest('helm');
const PLAIN = {enabled: true, plaintextFrom: [{namespaceSelector: {}}]};
const MESH = {enabled: true, tls: {mesh: true}};
const OWN = {enabled: true, tls: {clientCa: {configMap: 'istio-ca-root-cert', key: 'root-cert.pem'}}};
const IDENTITY = 'spiffe://cluster.local/ns/sallyport/sa/sallyport-extauthz';
const intent = (identity: string | null) =>
  fromIntent(
    stringify({
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'MeshEgress',
      metadata: {name: 'default'},
      spec: {enforcement: [{at: 'Sidecar'}], ...(identity === null ? {} : {extauthz: {identity}})},
    }),
  );
/** What verify says of the chart's Service. */
const said = (extauthz: object, identity: string | null): readonly string[] => {
  const service = find(rendered({extauthz}), 'Service', 'sallyport-extauthz');
  const {mesh} = intent(identity);
  return conflicts(mesh, [], {...NOTHING, services: [service as unknown as Service]}).map(({code}) => code);
};

describe('the chart’s extauthz in a mesh', () => {
  it.each<[string, object, string | null, readonly string[]]>([
    ['in the clear, and asked so, as both come', PLAIN, null, []],
    ['with a certificate of the mesh, and asked by its name', MESH, IDENTITY, []],
    ['with a certificate of the mesh, and asked in the clear', MESH, null, ['ExtauthzCertificate']],
    ['in the clear, and asked by a name', PLAIN, IDENTITY, ['ExtauthzCertificate']],
    ['with a certificate that no proxy can verify', OWN, IDENTITY, ['ExtauthzCertificate']],
  ])('%s', (_what, values, identity, codes) => {
    expect(said(values, identity)).toEqual(codes);
  });

  it('has the identity that the docs and verify say: that of its service account', () => {
    const {spec, metadata} = find(rendered({extauthz: MESH}), 'Deployment', 'sallyport-extauthz');
    expect(`spiffe://cluster.local/ns/${metadata.namespace}/sa/${spec.template.spec.serviceAccountName}`).toBe(
      IDENTITY,
    );
    const rule = intent(IDENTITY).objects.find(({object}) => object.kind === 'DestinationRule')!.object;
    expect(rule.spec).toMatchObject({
      host: 'sallyport-extauthz.sallyport.svc.cluster.local',
      trafficPolicy: {tls: {mode: 'ISTIO_MUTUAL', subjectAltNames: [IDENTITY]}},
    });
  });

  it('takes its certificate from Istio’s agent, whose files it reads, and mounts no Secret', () => {
    const {spec} = find(rendered({extauthz: MESH}), 'Deployment', 'sallyport-extauthz');
    const {metadata, spec: pod} = spec.template;
    expect([metadata.labels['sidecar.istio.io/inject'], metadata.annotations['inject.istio.io/templates']]).toEqual([
      'true',
      'grpc-agent',
    ]);
    const [, ...argv] = pod.containers[0].args as string[];
    expect(extauthzSettings(argv, {KUBERNETES_SERVICE_HOST: '10.96.0.1'}, false)).toMatchObject({
      listen: {port: 9000},
      tls: {
        cert: '/var/lib/istio/data/cert-chain.pem',
        key: '/var/lib/istio/data/key.pem',
        clientCa: '/var/lib/istio/data/root-cert.pem',
      },
    });
    expect((pod.volumes as {secret?: object}[]).filter(({secret}) => secret !== undefined)).toEqual([]);
  });

  it('reads the Secret of an UpstreamProxy where it is to add credentials, by name, and else none', () => {
    const upstreamProxies = {
      corp: {endpoints: [{url: 'http://p.example:1'}], auth: {secretRef: {namespace: 'infra', name: 'corp'}}},
    };
    const roles = (more: object) =>
      rendered({upstreamProxies, extauthz: {...MESH, ...more}})
        .filter(({kind, metadata}) => kind === 'Role' && metadata.name.startsWith('sallyport-extauthz'))
        .map(({metadata, rules}) => [metadata.namespace, rules as unknown] as const);
    expect(roles({})).toEqual([]);
    expect(roles({parentCredentials: true})).toEqual([
      ['infra', [{apiGroups: [''], resources: ['secrets'], resourceNames: ['corp'], verbs: ['get', 'list', 'watch']}]],
    ]);
    const {spec} = find(rendered({extauthz: {...MESH, parentCredentials: true}}), 'Deployment', 'sallyport-extauthz');
    const [, ...argv] = spec.template.spec.containers[0].args as string[];
    expect(extauthzSettings(argv, {KUBERNETES_SERVICE_HOST: '10.96.0.1'}, false).parentCredentials).toBe(true);
  });

  it('credentials are told to nobody without a certificate', () => {
    expect(template({extauthz: {...PLAIN, parentCredentials: true}}).stderr).toContain('extauthz.parentCredentials');
  });

  it('two answers to who may ask are refused', () => {
    const both = {...OWN, tls: {...OWN.tls, mesh: true}};
    expect(template({extauthz: both}).stderr).toContain('mesh and clientCa');
  });
});
