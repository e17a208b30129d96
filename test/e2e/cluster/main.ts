/**
 * `npm run cluster -- up|down|status`: the one-node cluster by hand.
 *   up      starts it in the background and says how to use it; nothing where it is up
 *   down    ends it, and everything in it
 *   status  where it is; exit code 1 where it is not up
 */
import {spawn} from 'node:child_process';
import {chmodSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {startTimeOf} from '../../lab/sweep.ts';
import {startCluster} from './cluster.ts';
import {kubeconfigOf, programOf} from './control.ts';

/** In /run, so that a reboot, which ends the cluster too, ends the record. */
const STATE = '/run/sallyport-cluster';
const RECORD = join(STATE, 'cluster.json');
const LOG = join(STATE, 'log');
const POLL_MS = 200;

interface Record {
  readonly pid: number;
  readonly startTime: string;
  /** A script that is kubectl inside; null: not up yet. */
  readonly kubectl: string | null;
}

const command = process.argv[2];
switch (command) {
  case 'up':
    process.exitCode = await up();
    break;
  case 'down':
    process.exitCode = await down();
    break;
  case 'status':
    process.exitCode = status();
    break;
  case 'run':
    await run();
    break;
  default:
    console.error('usage: npm run cluster -- up|down|status');
    process.exitCode = 2;
}

function living(): Record | null {
  if (!existsSync(RECORD)) return null;
  const record = JSON.parse(readFileSync(RECORD, 'utf8')) as Record;
  return startTimeOf(record.pid) === record.startTime ? record : null;
}

function status(): number {
  const record = living();
  if (record?.kubectl == null) {
    console.log(record === null ? 'no cluster is up; npm run cluster -- up' : 'the cluster is coming up');
    return 1;
  }
  console.log(`up: ${record.kubectl} get pods -A\nend it with: npm run cluster -- down`);
  return 0;
}

async function up(): Promise<number> {
  if (living() === null) {
    mkdirSync(STATE, {recursive: true});
    const to = openSync(LOG, 'w');
    const child = spawn(process.execPath, [import.meta.filename, 'run'], {detached: true, stdio: ['ignore', to, to]});
    write({pid: child.pid!, startTime: startTimeOf(child.pid!) ?? '', kubectl: null});
    child.unref();
  }
  let said = 0;
  for (;;) {
    const log = readFileSync(LOG, 'utf8');
    process.stdout.write(log.slice(said));
    said = log.length;
    const record = living();
    if (record === null) return 3;
    if (record.kubectl !== null) return status();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function down(): Promise<number> {
  const record = living();
  if (record === null) {
    console.log('no cluster is up');
    return 0;
  }
  process.kill(record.pid, 'SIGTERM');
  while (living() !== null) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  rmSync(STATE, {recursive: true, force: true});
  console.log('the cluster is gone');
  return 0;
}

/** The background process itself: it holds the cluster until it is told to end it. */
async function run(): Promise<void> {
  // Not once: a lab that sees itself alone with the signal would end this process before the cluster is gone.
  const asked = new Promise((resolve) => process.on('SIGTERM', resolve));
  const cluster = await startCluster((text) => console.log(text));
  const kubectl = join(STATE, 'kubectl');
  const argv = [programOf('kubectl'), '--kubeconfig', kubeconfigOf(cluster.machine, 'admin')];
  writeFileSync(kubectl, `#!/bin/sh\nexec ${cluster.machine.enter(argv).join(' ')} "$@"\n`);
  chmodSync(kubectl, 0o755);
  write({pid: process.pid, startTime: startTimeOf(process.pid) ?? '', kubectl});
  await asked;
  await cluster.stop();
}

function write(record: Record): void {
  writeFileSync(RECORD, JSON.stringify(record));
}
