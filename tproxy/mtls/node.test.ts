import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import type {Peers} from '../../sources/peers.ts';
import type {ServicePlace} from '../../sources/service-table.ts';
import {parseWorkloads} from '../../sources/workload-table.ts';
import {heardJournal} from './identity/testing.ts';
import {NodeMtls} from './node.ts';

const entry = (name: string, ip: string): ReturnType<typeof parseWorkloads> =>
  parseWorkloads(JSON.stringify([{ips: [ip], namespace: 'shop', name, uid: `uid-${name}`, labels: {}}]), 'the test');

const off = (name: string, ip: string): ReturnType<typeof entry> =>
  entry(name, ip).map((one) => ({...one, mtls: {mode: 'Off', plainPorts: new Set<number>()}}));

/** A cluster that has not answered yet. */
class Cluster implements Peers {
  known: Peers['known'] = null;
  services: Peers['services'] = new Map();
  told = (): void => undefined;
  close = (): void => undefined;
}

let dir: string;
let mtls: NodeMtls;
let changes: number;
const cluster = new Cluster();
beforeEach(async () => {
  changes = 0;
  dir = mkdtempSync(join(tmpdir(), 'sallyport-node-mtls-'));
  [cluster.known, cluster.services] = [null, new Map()];
  const config = {
    identity: {kind: 'files', dir} as const,
    ...{trustDomain: 'cluster.local', defaultMode: 'Strict' as const, cidrs: [], peersFile: null},
  };
  const peers = (told: () => void): Promise<Peers> => {
    cluster.told = told;
    return Promise.resolve(cluster);
  };
  mtls = await NodeMtls.open(config, heardJournal().journal, peers, () => changes++);
});
afterEach(async () => {
  await mtls.close();
  rmSync(dir, {recursive: true, force: true});
});

describe('what workers are told of mTLS', () => {
  test('is not whole before both this node’s pods and everybody else’s are known: an empty table would let all by', () => {
    expect(mtls.settled).toBe(false);
    expect(mtls.state(null).whole).toBe(false);
    expect(mtls.state(entry('a', '10.0.0.1')).whole).toBe(false);
    cluster.known = entry('b', '10.0.1.1');
    expect(mtls.settled).toBe(true);
    expect(mtls.state(null).whole).toBe(false);
    expect(mtls.state(entry('a', '10.0.0.1')).whole).toBe(true);
  });

  test('an address of this node is this node’s pod’s, whoever else the cluster says has it', () => {
    cluster.known = [...entry('z', '10.0.0.1'), ...entry('b', '10.0.1.1')];
    const {entries, here} = mtls.state(entry('a', '10.0.0.1'));
    expect(entries.map(({workload}) => workload.name)).toEqual(['a', 'b']);
    expect([...here]).toEqual([['10.0.0.1', 'uid-a']]);
  });

  test('a pod of this node that captures itself wraps for itself: it is wrapped towards, as one of another node', () => {
    cluster.known = entry('s', '10.0.0.2');
    const [self] = entry('s', '10.0.0.2');
    const labels = {'sallyport.dev/capture': 'pod'};
    const {entries, here} = mtls.state([...entry('a', '10.0.0.1'), {...self!, workload: {...self!.workload, labels}}]);
    expect(entries.map(({workload}) => workload.name)).toEqual(['a', 's']);
    expect([...here.keys()]).toEqual(['10.0.0.1']);
  });

  const leadsTo = (namespace: string, ...ips: string[]): ServicePlace => ({
    ...{namespace, groups: [ips], ports: new Map([[80, [[0, 8080]]]])},
  });

  test('is where Services lead that have an enrolled pod behind them, and no other', () => {
    cluster.known = [...entry('b', '10.0.1.1'), ...off('c', '10.0.1.2')];
    const mixed = leadsTo('shop', '10.0.1.2', '10.0.1.1');
    cluster.services = new Map([
      ['10.96.0.9', mixed],
      ['10.96.0.8', leadsTo('shop', '10.0.1.2')],
      ['10.96.0.7', leadsTo('shop')],
    ]);
    expect([...mtls.state(entry('a', '10.0.0.1')).services]).toEqual([['10.96.0.9', mixed]]);
  });

  test('is told again where somebody is enrolled, is so otherwise, or is behind another Service; not for what else changes', () => {
    const told = (known: Peers['known'], services: Peers['services'] = new Map()): number => {
      const before = changes;
      [cluster.known, cluster.services] = [known, services];
      cluster.told();
      return changes - before;
    };
    const [b] = entry('b', '10.0.1.1');
    expect(told([b!])).toBe(1);
    expect(told([{...b!, workload: {...b!.workload, labels: {version: '2'}}}])).toBe(0);
    expect(told([{...b!, mtls: {mode: 'Permissive', plainPorts: new Set()}}])).toBe(1);
    expect(told([{...b!, mtls: {mode: 'Permissive', plainPorts: new Set([9090])}}])).toBe(1);
    expect(told([b!])).toBe(1);
    const others = off('c', '10.0.1.2');
    expect(told([b!, ...others])).toBe(1);
    expect(told([b!, ...others], new Map([['10.96.0.8', leadsTo('shop', '10.0.1.2')]]))).toBe(0);
    expect(told([b!, ...others], new Map([['10.96.0.8', leadsTo('shop', '10.0.1.2', '10.0.1.1')]]))).toBe(1);
    expect(told([b!, ...others], new Map([['10.96.0.8', leadsTo('shop', '10.0.1.1')]]))).toBe(1);
    expect(told([b!, ...others], new Map([['10.96.0.8', leadsTo('shop', '10.0.1.1')]]))).toBe(0);
    expect(told([])).toBe(1);
  });

  test('not whole, it is not told to the kernel', async () => {
    // Without privileges nft would refuse, and without a table there is nothing to compare.
    await expect(mtls.enforce(mtls.state(null))).resolves.toBeUndefined();
  });
});
