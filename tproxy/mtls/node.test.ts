import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import type {Peers} from '../../sources/peers.ts';
import {parseWorkloads} from '../../sources/workload-table.ts';
import {heardJournal} from './identity/testing.ts';
import {NodeMtls} from './node.ts';

const entry = (name: string, ip: string): ReturnType<typeof parseWorkloads> =>
  parseWorkloads(JSON.stringify([{ips: [ip], namespace: 'shop', name, uid: `uid-${name}`, labels: {}}]), 'the test');

/** A cluster that has not answered yet. */
class Cluster implements Peers {
  known: Peers['known'] = null;
  services: Peers['services'] = new Map();
  close = (): void => undefined;
}

let dir: string;
let mtls: NodeMtls;
const cluster = new Cluster();
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-node-mtls-'));
  [cluster.known, cluster.services] = [null, new Map()];
  const config = {
    identity: {kind: 'files', dir} as const,
    ...{trustDomain: 'cluster.local', defaultMode: 'Strict' as const, cidrs: [], peersFile: null},
  };
  mtls = new NodeMtls(config, heardJournal().journal, cluster, () => undefined);
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

  test('is where Services lead that have an enrolled pod behind them, and no other', () => {
    cluster.known = entry('b', '10.0.1.1');
    const mixed = [
      {ip: '10.0.1.1', port: 8080},
      {ip: '192.168.0.9', port: 8080},
    ];
    cluster.services = new Map([
      ['10.96.0.9 80', mixed],
      ['10.96.0.8 80', [{ip: '192.168.0.9', port: 8080}]],
      ['10.96.0.7 80', []],
    ]);
    expect([...mtls.state(entry('a', '10.0.0.1')).services]).toEqual([['10.96.0.9 80', mixed]]);
  });

  test('not whole, it is not told to the kernel', async () => {
    // Without privileges nft would refuse, and without a table there is nothing to compare.
    await expect(mtls.enforce(mtls.state(null))).resolves.toBeUndefined();
  });
});
