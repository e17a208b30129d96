import {describe, expect, test} from '@jest/globals';
import {serviceTable} from '../sources/service-table.ts';
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
const slice = (addressType: string, ...addresses: string[]): NonNullable<ReturnType<typeof keptSlice>> =>
  keptSlice({
    metadata: {namespace: 'shop', name: `db-${addressType}`, labels: {'kubernetes.io/service-name': 'db'}},
    ...{addressType, ports: [{name: 'sql', port: 15432, protocol: 'TCP'}]},
    endpoints: [
      ...addresses.map((address) => ({addresses: [address], conditions: {ready: true}})),
      {addresses: ['10.0.0.99'], conditions: {ready: false}},
    ],
  } as object)!;

describe('where Services lead', () => {
  test('each TCP port, by family, and only to what is ready', () => {
    const list = serviceAddresses(
      new Map([['shop/db', service]]),
      new Map([
        ['shop/db-IPv4', slice('IPv4', '10.0.0.1', '10.0.0.2')],
        ['shop/db-IPv6', slice('IPv6', 'fd00::1')],
      ]),
    );
    expect(Object.fromEntries(serviceTable(list))).toEqual({
      '10.96.0.9 5432': [
        {ip: '10.0.0.1', port: 15432},
        {ip: '10.0.0.2', port: 15432},
      ],
      'fd96::9 5432': [{ip: 'fd00::1', port: 15432}],
    });
  });

  test('a Service with nothing behind it leads nowhere', () => {
    expect(serviceTable(serviceAddresses(new Map([['shop/db', service]]), new Map())).get('10.96.0.9 5432')).toEqual(
      [],
    );
  });

  test('a slice that the API server writes with null for its empty lists is an empty one', () => {
    const labels = {'kubernetes.io/service-name': 'db'};
    const empty = {metadata: {namespace: 'shop', labels}, addressType: 'IPv4', endpoints: null, ports: null};
    expect(keptSlice(empty as object)).toEqual({service: 'shop/db', addresses: [], ports: new Map()});
  });

  test('headless Services, and those of names, have no address to lead on from', () => {
    expect(keptService({spec: {clusterIPs: ['None'], ports: []}} as object)).toBeNull();
    expect(keptService({spec: {type: 'ExternalName', externalName: 'a.example'}} as object)).toBeNull();
    expect(keptSlice({metadata: {namespace: 'shop'}, addressType: 'IPv4', endpoints: []} as object)).toBeNull();
  });
});
