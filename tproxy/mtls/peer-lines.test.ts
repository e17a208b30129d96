import {describe, expect, test} from '@jest/globals';
import {
  changeOf,
  keptService,
  keptSlice,
  podRows,
  serviceRows,
  textsOf,
  wholeOf,
} from '../../cluster/controller/issuer/peer-rows.ts';
import {parseWorkloads} from '../../sources/workload-table.ts';
import {PeerTable} from './peer-lines.ts';

const pods = (...names: string[]): ReturnType<typeof parseWorkloads> =>
  parseWorkloads(
    JSON.stringify(
      names.map((name) => ({
        ...{ips: [`10.0.0.${name.length}`, `fd00::${name.length}`], namespace: 'shop', name, uid: `uid-${name}`},
        ...{labels: {}, serviceAccount: `sa-${name}`, mtls: 'Strict', mtlsPlainPorts: [9090]},
      })),
    ),
    'the test',
  );
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

describe('the table of peers, from the API server’s objects to the proxy in a pod', () => {
  test('says of pods where they are, who they are, and how they speak', () => {
    const table = new PeerTable();
    expect(table.whole).toBe(false);
    table.take(wholeOf(textsOf(podRows(pods('a', 'bb')))));
    expect(table.whole).toBe(true);
    expect(
      table.entries().map(({ips, workload: {uid, namespace, serviceAccount}, mtls}) => ({
        ips,
        uid,
        namespace,
        serviceAccount,
        mtls,
      })),
    ).toEqual(
      ['a', 'bb'].map((name) => ({
        ...{ips: [`10.0.0.${name.length}`, `fd00::${name.length}`], uid: `uid-${name}`, namespace: 'shop'},
        ...{serviceAccount: `sa-${name}`, mtls: {mode: 'Strict', plainPorts: new Set([9090])}},
      })),
    );
  });

  test('says where each port of a Service leads, by family, and only to what is ready', () => {
    const rows = serviceRows(
      new Map([['shop/db', service]]),
      new Map([
        ['shop/db-IPv4', slice('IPv4', '10.0.0.1', '10.0.0.2')],
        ['shop/db-IPv6', slice('IPv6', 'fd00::1')],
      ]),
    );
    const table = new PeerTable();
    table.take(wholeOf(textsOf(rows)));
    expect(Object.fromEntries(table.services())).toEqual({
      '10.96.0.9 5432': [
        {ip: '10.0.0.1', port: 15432},
        {ip: '10.0.0.2', port: 15432},
      ],
      'fd96::9 5432': [{ip: 'fd00::1', port: 15432}],
    });
    expect(table.entries()).toEqual([]);
  });

  test('headless Services, and those of names, have no address to lead on from', () => {
    expect(keptService({spec: {clusterIPs: ['None'], ports: []}} as object)).toBeNull();
    expect(keptService({spec: {type: 'ExternalName', externalName: 'a.example'}} as object)).toBeNull();
    expect(keptSlice({metadata: {namespace: 'shop'}, addressType: 'IPv4', endpoints: []} as object)).toBeNull();
  });

  test('a change is what changed; a pod that is gone is nobody', () => {
    const [before, after] = [textsOf(podRows(pods('a', 'bb'))), textsOf(podRows(pods('bb', 'ccc')))];
    const table = new PeerTable();
    table.take(wholeOf(before));
    const change = changeOf(before, after)!;
    expect(change).not.toContain('uid-bb');
    table.take(change);
    expect(table.entries().map(({workload}) => workload.uid)).toEqual(['uid-bb', 'uid-ccc']);
    expect(changeOf(after, after)).toBeNull();
  });

  test('a whole table takes the place of the one before: what went meanwhile is gone', () => {
    const table = new PeerTable();
    table.take(wholeOf(textsOf(podRows(pods('a')))));
    table.take(wholeOf(textsOf(podRows(pods('bb')))));
    expect(table.entries().map(({workload}) => workload.uid)).toEqual(['uid-bb']);
  });

  test.each(['', '{}', '[]', '{"whole":false,"put":[],"gone":[]}', '{"whole":true,"put":[1],"gone":[]}'])(
    'is not whole by %j',
    (line) => {
      const table = new PeerTable();
      expect(() => table.take(line)).toThrow();
      expect(table.whole).toBe(false);
    },
  );
});
