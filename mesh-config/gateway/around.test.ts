import {describe, expect, test} from '@jest/globals';
import {loadDocuments} from '../../policy/index.ts';
import type {EnvoyFilter, ServiceEntry, Surroundings} from '../surroundings.ts';
import {NOTHING} from '../testing/nothing.ts';
import {aroundGateway} from './around.ts';

const mesh = (enforcement: object[]) =>
  loadDocuments([
    {
      file: 'mesh.yaml',
      text: JSON.stringify({
        apiVersion: 'sallyport.dev/v1alpha1',
        kind: 'MeshEgress',
        metadata: {name: 'default'},
        spec: {extauthz: {identity: 'extauthz.test'}, enforcement},
      }),
    },
  ]).setups[0]!;
const GATEWAY = mesh([{at: 'EgressGateway', namespace: 'shop'}]);
const WAYPOINT = mesh([{at: 'Waypoint', namespace: 'shop', hosts: ['b.example']}]);
const SIDECAR = mesh([{at: 'Sidecar'}]);

const OURS = {'app.kubernetes.io/managed-by': 'sallyport', 'sallyport.dev/mesh-egress': 'default'};
const entry = (spec: ServiceEntry['spec'], labels: Record<string, string> = {}): Surroundings => ({
  ...NOTHING,
  serviceEntries: [{kind: 'ServiceEntry', metadata: {name: 'direct', namespace: 'shop', labels}, spec}],
});
const filter = (context: string | undefined, type: string): Surroundings => {
  const value = {typed_config: {'@type': `type.googleapis.com/envoy.extensions.${type}`}};
  const patches = [{match: context === undefined ? {} : {context}, patch: {operation: 'ADD', value}}];
  const one: EnvoyFilter = {
    kind: 'EnvoyFilter',
    metadata: {name: 'mitm', namespace: 'shop'},
    spec: {configPatches: patches},
  };
  return {...NOTHING, envoyFilters: [one]};
};
const SELECTOR = 'transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config';
const DIRECT = {hosts: ['a.example'], location: 'MESH_EXTERNAL'};

const INSIDE = {location: 'MESH_INTERNAL', resolution: 'STATIC', endpoints: [{address: '10.1.2.3'}]};
const BOUND = {'istio.io/use-waypoint': 'sallyport-egress'};

describe('what leads around the gateway', () => {
  test.each<[string, ReturnType<typeof mesh>, Surroundings, string[]]>([
    ['a name outside that sidecars dial by themselves', GATEWAY, entry(DIRECT), ['AroundGateway']],
    [
      'one that does not say where it is: outside by default',
      GATEWAY,
      entry({hosts: ['a.example']}),
      ['AroundGateway'],
    ],
    ['a service of the mesh does not', GATEWAY, entry({...DIRECT, ...INSIDE}), []],
    ['one that only says so', GATEWAY, entry({...DIRECT, location: 'MESH_INTERNAL'}), ['AroundGateway']],
    ['what other namespaces see does not', GATEWAY, entry({...DIRECT, exportTo: ['bank']}), []],
    ['what is bound to a waypoint is dialled by sidecars too', GATEWAY, entry(DIRECT, BOUND), ['AroundGateway']],
    ['what is bound to a waypoint by others', WAYPOINT, entry(DIRECT, BOUND), ['AroundGateway']],
    ['what is ours does not', GATEWAY, entry(DIRECT, OURS), []],
    ['where sidecars ask there is nothing to go around', SIDECAR, entry(DIRECT), []],
    ['keys fetched by sidecars', SIDECAR, filter('SIDECAR_OUTBOUND', SELECTOR), ['LeafKeysInSidecar']],
    ['keys fetched by whoever it selects', SIDECAR, filter(undefined, SELECTOR), ['LeafKeysInSidecar']],
    ['keys fetched by gateways are where they belong', SIDECAR, filter('GATEWAY', SELECTOR), []],
    ['another filter for sidecars has none', SIDECAR, filter('SIDECAR_OUTBOUND', 'filters.http.cors.v3.Cors'), []],
  ])('%s', (_what, intent, around, codes) => {
    const found = aroundGateway(intent, around);
    expect(found.map(({code}) => code)).toEqual(codes);
    for (const {fix, message} of found) expect([fix === '', message === '']).toEqual([false, false]);
  });
});
