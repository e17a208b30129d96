/** From exec to ready: what an operator waits for, and what an upgrade costs. */
import {mkdirSync} from 'node:fs';
import {listening} from '../../cli/demo/proxy-process.ts';
import type {Lab} from '../lab/index.ts';
import type {Site} from './peers/peer.ts';
import {sallyport} from './peers/sallyport.ts';
import type {Table} from './tables.ts';

const RUNS = 5;

export async function benchStart(lab: Lab, site: Site): Promise<Table> {
  mkdirSync(site.dir, {recursive: true});
  const {argv} = sallyport.prepare(site);
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const started = performance.now();
    const child = lab.spawn('node', argv);
    await listening(child, () => {});
    times.push(performance.now() - started);
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await gone;
  }
  times.sort((a, b) => a - b);
  return {
    title: `Start-up, exec to listening (one worker, ${RUNS} runs, the first makes the CA)`,
    columns: ['fastest ms', 'median ms', 'slowest ms'],
    rows: [[times[0]!, times[Math.floor(RUNS / 2)]!, times[RUNS - 1]!].map((ms) => Math.round(ms))],
  };
}
