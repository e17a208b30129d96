import {describe, expect, test} from '@jest/globals';
import type {Endpoint} from '../policy/index.ts';
import {endpointsOf, serviceTable} from '../sources/service-table.ts';
import {keptService, keptSlice, serviceAddresses} from './services.ts';

const service = keptService({
  metadata: {namespace: 'shop', name: 'db'},
  spec: {
    clusterIPs: ['10.96.0.9', 'fd96::9'],
    ports: [
      {name: 'sql', port: 5432, protocol: 'TCP'},
      {name: 'dns', port: 53, protocol: 'UDP'},
    ],
  },
} as object)!;
type Told = readonly [address: string, conditions: object];
const READY = {ready: true, serving: true, terminating: false};
const STARTING = {ready: false, serving: false, terminating: false};
const ENDING = {ready: false, serving: true, terminating: true};
const slice = (addressType: string, ...endpoints: Told[]): NonNullable<ReturnType<typeof keptSlice>> =>
  keptSlice({
    metadata: {namespace: 'shop', name: `db-${addressType}`, labels: {'kubernetes.io/service-name': 'db'}},
    ...{addressType, ports: [{name: 'sql', port: 15432, protocol: 'TCP'}]},
    endpoints: endpoints.map(([address, conditions]) => ({addresses: [address], conditions})),
  } as object)!;
const leads = (ip: string, ...slices: ReturnType<typeof slice>[]): readonly Endpoint[] => {
  const kept = new Map(slices.map((one, i) => [`shop/db-${i}`, one]));
  return endpointsOf({ip, port: 5432}, serviceTable(serviceAddresses(new Map([['shop/db', service]]), kept)));
};

describe('where Services lead', () => {
  test('each TCP port, by family, and only to what is ready', () => {
    const slices = [
      slice('IPv4', ['10.0.0.1', READY], ['10.0.0.98', STARTING], ['10.0.0.99', ENDING], ['10.0.0.2', {}]),
      slice('IPv6', ['fd00::1', READY]),
    ];
    expect(leads('10.96.0.9', ...slices)).toEqual([
      {ip: '10.0.0.1', port: 15432},
      {ip: '10.0.0.2', port: 15432},
    ]);
    expect(leads('fd96::9', ...slices)).toEqual([{ip: 'fd00::1', port: 15432}]);
  });

  test('with nothing ready, to what ends and still takes connections: a database that is moved is one of these', () => {
    expect(leads('10.96.0.9', slice('IPv4', ['10.0.0.98', STARTING], ['10.0.0.99', ENDING]))).toEqual([
      {ip: '10.0.0.99', port: 15432},
    ]);
  });

  test('a Service with nothing behind it leads nowhere, nor does another port or address', () => {
    expect(leads('10.96.0.9')).toEqual([]);
    const one = serviceTable(
      serviceAddresses(new Map([['shop/db', service]]), new Map([['a', slice('IPv4', ['10.0.0.1', READY])]])),
    );
    expect(endpointsOf({ip: '10.96.0.9', port: 5433}, one)).toEqual([]);
    expect(endpointsOf({ip: '10.96.0.8', port: 5432}, one)).toEqual([]);
  });

  test('it is as large as what was written, not as ports times endpoints', () => {
    const ports = Array.from({length: 100}, (_, i) => ({name: `p${i}`, port: 1000 + i}));
    const many = keptService({metadata: {}, spec: {clusterIPs: ['10.96.0.9'], ports}} as object)!;
    const full = keptSlice({
      metadata: {namespace: 'shop', labels: {'kubernetes.io/service-name': 'db'}},
      ...{addressType: 'IPv4', ports, endpoints: ports.map((_, i) => ({addresses: [`10.0.0.${i}`]}))},
    })!;
    const [list] = serviceAddresses(new Map([['shop/db', many]]), new Map([['a', full]]));
    expect(JSON.stringify(list).length).toBeLessThan(5_000);
    expect(endpointsOf({ip: '10.96.0.9', port: 1099}, serviceTable([list!]))).toHaveLength(100);
  });

  test('a slice that the API server writes with null for its empty lists is an empty one', () => {
    const labels = {'kubernetes.io/service-name': 'db'};
    const empty = {metadata: {namespace: 'shop', labels}, addressType: 'IPv4', endpoints: null, ports: null};
    expect(keptSlice(empty as object)).toEqual({service: 'shop/db', ready: [], ending: [], ports: new Map()});
  });

  test('headless Services, and those of names, have no address to lead on from', () => {
    expect(keptService({spec: {clusterIPs: ['None'], ports: []}} as object)).toBeNull();
    expect(keptService({spec: {type: 'ExternalName', externalName: 'a.example'}} as object)).toBeNull();
    expect(keptSlice({metadata: {namespace: 'shop'}, addressType: 'IPv4', endpoints: []} as object)).toBeNull();
  });
});
