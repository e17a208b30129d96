import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {parseWorkloads, type WorkloadEntry} from '../../sources/workload-table.ts';
import {spiffeIdOf} from '../../test/lab/mtls/labs.ts';
import {until} from '../../test/waiting.ts';
import {IDENTITY_FILES} from './identity/files.ts';
import {heardJournal, testIdentity, testWorkloadCa} from './identity/testing.ts';
import {PodMtls} from './pod.ts';

type Said = {readonly mtls?: string; readonly mtlsPlainPorts?: readonly number[]};
const row = (name: string, ip: string, said: Said = {}): object => ({
  ...{ips: [ip], namespace: 'shop', name, uid: `uid-${name}`, labels: {}, serviceAccount: name},
  ...said,
});
const table = (...rows: object[]): readonly WorkloadEntry[] => parseWorkloads(JSON.stringify(rows), 'the test');
const OWN = '10.0.0.1';

let dir: string;
let mtls: PodMtls;
const open = async (peers: readonly object[]): Promise<PodMtls> => {
  const peersFile = join(dir, 'peers.yaml');
  writeFileSync(peersFile, JSON.stringify(peers));
  return (mtls = await PodMtls.open(
    {
      identity: {kind: 'files', dir},
      ...{trustDomain: 'cluster.local', defaultMode: 'Off' as const, cidrs: [], peersFile},
    },
    heardJournal().journal,
    () => undefined,
  ));
};
const bring = (): void => {
  const identity = testIdentity(testWorkloadCa(), spiffeIdOf('a'));
  for (const [key, file] of Object.entries(IDENTITY_FILES))
    writeFileSync(join(dir, file), identity[key as keyof typeof IDENTITY_FILES]);
};
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-pod-mtls-'));
  bring();
});
afterEach(async () => {
  await mtls.close();
  rmSync(dir, {recursive: true, force: true});
});

describe('a pod that is relabelled while it runs', () => {
  test.each([
    ['Permissive', 'Strict', 'Strict'],
    ['Strict', 'Permissive', 'Strict'],
    ['Strict', 'Off', 'Strict'],
    ['Permissive', 'Off', 'Permissive'],
    ['Permissive', undefined, 'Permissive'],
    // Its rules hand nothing over.
    ['Off', 'Strict', 'Off'],
  ])(
    'made %s, said to be %s, is %s: the stricter word counts, of those by which its rules were laid',
    async (made, now, is) => {
      await open([row('a', OWN, now === undefined ? {} : {mtls: now})]);
      const {entries} = mtls.state(table(row('a', OWN, {mtls: made})));
      expect(entries.map((one) => one.mtls?.mode)).toEqual([is]);
    },
  );

  test('leaves no further port plain, and is who it was made as', async () => {
    await open([{...row('a', OWN, {mtls: 'Strict', mtlsPlainPorts: [9090, 80]}), serviceAccount: 'another'}]);
    const [own] = mtls.state(table(row('a', OWN, {mtls: 'Permissive', mtlsPlainPorts: [9090]}))).entries;
    expect([...own!.mtls!.plainPorts]).toEqual([9090]);
    expect(own!.workload.serviceAccount).toBe('a');
  });

  test('another that claims its address says nothing of it', async () => {
    await open([row('z', OWN, {mtls: 'Strict'})]);
    const {entries} = mtls.state(table(row('a', OWN, {mtls: 'Permissive'})));
    expect(entries.map(({workload, mtls: said}) => [workload.name, said?.mode])).toEqual([['a', 'Permissive']]);
  });
});

describe('what its proxy waits for', () => {
  test('is a certificate too, once: without one nothing would be let in or out of a Strict pod', async () => {
    for (const file of Object.values(IDENTITY_FILES)) rmSync(join(dir, file));
    const told = table(row('a', OWN, {mtls: 'Strict'}));
    await open([row('a', OWN), row('b', '10.0.0.2')]);
    expect(mtls.settled).toBe(false);
    expect(mtls.state(told).whole).toBe(false);
    bring();
    await until(
      () => Promise.resolve(mtls.settled),
      (settled) => settled,
    );
    expect(mtls.state(told)).toMatchObject({whole: true, identities: new Map([['uid-a', expect.anything()]])});
  });

  test('and is not waited for again when it has ended: that is told, and refused, connection by connection', async () => {
    const dateNow = Date.now;
    let aheadMs = 0;
    Date.now = () => dateNow() + aheadMs;
    try {
      await open([]);
      expect(mtls.settled).toBe(true);
      aheadMs = 2 * 3_600_000;
      expect(mtls.state(table(row('a', OWN, {mtls: 'Strict'})))).toMatchObject({whole: true, identities: new Map()});
    } finally {
      Date.now = dateNow;
    }
  });
});
