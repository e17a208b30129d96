/** What a proxy's processes cost: CPU time and resident memory of a tree, from /proc. */
import {readFileSync, readdirSync} from 'node:fs';

/** Clock ticks of /proc/PID/stat are 1/100 s on every Linux that Node runs on (USER_HZ). */
const TICK_US = 10_000;
const PAGE_BYTES = 4096;

export interface Usage {
  readonly cpuUs: number;
  readonly residentBytes: number;
}

/** The process and everything below it. */
export function tree(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const child = Number(name);
    if (!Number.isInteger(child)) continue;
    const fields = stat(child);
    if (fields === null) continue;
    const parent = Number(fields[1]);
    children.set(parent, [...(children.get(parent) ?? []), child]);
  }
  const found: number[] = [];
  const walk = (at: number): void => {
    found.push(at);
    for (const child of children.get(at) ?? []) walk(child);
  };
  walk(pid);
  return found;
}

/** The tree's CPU time so far and its resident memory now. */
export function usage(pid: number): Usage {
  let ticks = 0;
  let pages = 0;
  for (const one of tree(pid)) {
    const fields = stat(one);
    if (fields === null) continue;
    ticks += Number(fields[11]) + Number(fields[12]);
    pages += Number(fields[21]);
  }
  return {cpuUs: ticks * TICK_US, residentBytes: pages * PAGE_BYTES};
}

/** The fields of /proc/PID/stat from the third (state) on; null where the process is gone. */
function stat(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}
