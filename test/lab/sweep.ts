/** What a lab leaves on the machine, written down so that a later run can remove what a crashed one left. */
import {spawnSync} from 'node:child_process';
import {mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';

/** One file per living lab. In /run, so that a reboot, which ends the namespaces too, ends the record. */
export const STATE_DIRECTORY = '/run/sallyport-lab';

export interface LabRecord {
  readonly id: string;
  readonly pid: number;
  /** The process's start time (field 22 of /proc/PID/stat): a pid alone may be somebody else by now. */
  readonly startTime: string;
  readonly namespaces: readonly string[];
}

export function recordLab(record: LabRecord): void {
  mkdirSync(STATE_DIRECTORY, {recursive: true});
  const path = join(STATE_DIRECTORY, `${record.id}.json`);
  // Whole or not at all: another process may be sweeping.
  writeFileSync(`${path}.part`, JSON.stringify(record));
  renameSync(`${path}.part`, path);
}

/** Field 22 of /proc/PID/stat; null where there is no such process, or only its zombie. */
export function startTimeOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in brackets and may hold spaces.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

/** Removes everything of one lab: processes inside its namespaces, the namespaces, /etc/netns, the record. Synchronous, for exit handlers. */
export function removeLab(record: LabRecord): void {
  for (const name of record.namespaces) {
    for (const pid of processesIn(name)) {
      if (pid !== process.pid) kill(pid);
    }
  }
  // Deleting a namespace deletes its veths, routes, rules and nftables; -force goes on after one that is gone.
  const lines = record.namespaces.map((name) => `netns del ${name}\n`).join('');
  spawnSync('ip', ['-force', '-batch', '-'], {input: lines, stdio: ['pipe', 'ignore', 'ignore']});
  for (const name of record.namespaces) rmSync(`/etc/netns/${name}`, {recursive: true, force: true});
  rmSync(join(STATE_DIRECTORY, `${record.id}.json`), {force: true});
}

/** Removes what labs of dead processes left; returns their ids. */
export function sweepLabs(): string[] {
  const swept: string[] = [];
  for (const record of readRecords()) {
    if (startTimeOf(record.pid) === record.startTime) continue;
    removeLab(record);
    swept.push(record.id);
  }
  return swept;
}

function readRecords(): LabRecord[] {
  let files: string[];
  try {
    files = readdirSync(STATE_DIRECTORY);
  } catch {
    return [];
  }
  const records: LabRecord[] = [];
  for (const file of files) {
    if (!file.endsWith('.json')) continue;
    const path = join(STATE_DIRECTORY, file);
    try {
      const record = JSON.parse(readFileSync(path, 'utf8')) as LabRecord;
      // Only names that we give: a record must never be able to remove somebody else's namespace.
      if (record.namespaces.every((name) => name.startsWith(`sp-${record.id}-`))) records.push(record);
    } catch {
      // Removed by its owner meanwhile, or not ours.
    }
  }
  return records;
}

function processesIn(namespace: string): number[] {
  const found = spawnSync('ip', ['netns', 'pids', namespace], {encoding: 'utf8'});
  return (found.stdout ?? '').split('\n').filter(Boolean).map(Number);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}
