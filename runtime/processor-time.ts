/** What the kernel says of a process in /proc/PID/stat (proc(5)). */
import {readFileSync} from 'node:fs';

export interface ProcessorTime {
  /** R: runs or would; S: sleeps; D: waits for a device; T: stopped; Z: has ended. */
  readonly state: string;
  /** User and system time so far. */
  readonly usedMs: number;
}

/** USER_HZ, which /proc counts in, is 100 on every Linux that Node runs on. */
const TICK_MS = 10;
/** After the name, which may hold spaces and parentheses: state is the first field, utime and stime the 12th and 13th. */
const UTIME = 11;
const STIME = 12;

/** null: there is no such process, or no /proc. */
export function processorTime(pid: number): ProcessorTime | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {state: fields[0]!, usedMs: (Number(fields[UTIME]) + Number(fields[STIME])) * TICK_MS};
}
