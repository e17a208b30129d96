/** Minting a leaf: one signature, one secure context. */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createLeafSource, openCa} from '../../pki/index.ts';
import type {Table} from './tables.ts';

const MINTS = 2000;

export function benchLeaf(): Table {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-bench-ca-'));
  try {
    const leaves = createLeafSource({ca: openCa({dir}), maxLeaves: 100});
    for (let i = 0; i < 50; i++) leaves.context(`warm-${i}.test`);
    const times: number[] = [];
    const before = process.cpuUsage();
    for (let i = 0; i < MINTS; i++) {
      const started = performance.now();
      leaves.context(`host-${i}.bench.test`);
      times.push(performance.now() - started);
    }
    const {user, system} = process.cpuUsage(before);
    const mean = (user + system) / 1000 / MINTS;
    times.sort((a, b) => a - b);
    return {
      title: `Leaf minting (ECDSA P-256, ${MINTS} names)`,
      columns: ['mean CPU ms', 'p50 ms', 'p99 ms'],
      rows: [[mean.toFixed(3), times[MINTS / 2]!.toFixed(3), times[Math.floor(MINTS * 0.99)]!.toFixed(3)]],
    };
  } finally {
    rmSync(dir, {recursive: true, force: true});
  }
}
