import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import type {Known, KnowledgeSource} from '../../sources/knowledge.ts';
import {parseWorkloads} from '../../sources/workload-table.ts';
import {heardJournal} from './identity/testing.ts';
import {NodeMtls} from './node.ts';

const entry = (name: string, ip: string): ReturnType<typeof parseWorkloads> =>
  parseWorkloads(JSON.stringify([{ips: [ip], namespace: 'shop', name, uid: `uid-${name}`, labels: {}}]), 'the test');

/** A cluster that has not answered yet. */
class Cluster implements KnowledgeSource {
  known: Known | null = null;
  watch = (): Promise<void> => Promise.resolve();
  describe = (): Readonly<Record<string, object>> => ({});
  close = (): void => undefined;
}

let dir: string;
let mtls: NodeMtls;
const cluster = new Cluster();
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-node-mtls-'));
  cluster.known = null;
  const config = {
    identity: {kind: 'files', dir} as const,
    ...{trustDomain: 'cluster.local', defaultMode: 'Strict' as const, cidrs: [], peersFile: null},
  };
  mtls = await NodeMtls.open(config, heardJournal().journal, cluster, () => undefined);
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
    cluster.known = {documents: [], notLoaded: [], workloads: entry('b', '10.0.1.1')};
    expect(mtls.settled).toBe(true);
    expect(mtls.state(null).whole).toBe(false);
    expect(mtls.state(entry('a', '10.0.0.1')).whole).toBe(true);
  });

  test('an address of this node is this node’s pod’s, whoever else the cluster says has it', () => {
    cluster.known = {documents: [], notLoaded: [], workloads: [...entry('z', '10.0.0.1'), ...entry('b', '10.0.1.1')]};
    const {entries, here} = mtls.state(entry('a', '10.0.0.1'));
    expect(entries.map(({workload}) => workload.name)).toEqual(['a', 'b']);
    expect([...here]).toEqual([['10.0.0.1', 'uid-a']]);
  });

  test('a pod of this node that captures itself wraps for itself: it is wrapped towards, as one of another node', () => {
    cluster.known = {documents: [], notLoaded: [], workloads: entry('s', '10.0.0.2')};
    const [self] = entry('s', '10.0.0.2');
    const labels = {'sallyport.dev/capture': 'pod'};
    const {entries, here} = mtls.state([...entry('a', '10.0.0.1'), {...self!, workload: {...self!.workload, labels}}]);
    expect(entries.map(({workload}) => workload.name)).toEqual(['a', 's']);
    expect([...here.keys()]).toEqual(['10.0.0.1']);
  });

  test('not whole, it is not told to the kernel', async () => {
    // Without privileges nft would refuse, and without a table there is nothing to compare.
    await expect(mtls.enforce(mtls.state(null))).resolves.toBeUndefined();
  });
});
