import {describe, expect, test} from '@jest/globals';
import {changeOf, podRows, serviceRows, textsOf, wholeOf} from '../../cluster/controller/issuer/peer-rows.ts';
import {serviceTable, type ServiceAddresses} from '../../sources/service-table.ts';
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
const SERVICES: readonly ServiceAddresses[] = [
  {
    ...{name: 'shop/db', ips: ['10.96.0.9', 'fd96::9'], groups: [['10.0.0.1', '10.0.0.2'], ['fd00::1']]},
    ports: [
      [
        5432,
        [
          [0, 15_432],
          [1, 15_432],
        ],
      ],
    ],
  },
  {name: 'shop/web', ips: ['10.96.0.7'], groups: [], ports: [[80, []]]},
];

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

  test('says where each port of a Service leads', () => {
    const table = new PeerTable();
    table.take(wholeOf(textsOf(serviceRows(SERVICES))));
    expect(table.services()).toEqual(serviceTable(SERVICES));
    expect(table.entries()).toEqual([]);
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
