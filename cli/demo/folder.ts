/** The tour's folder: named by the process that made it, so that a later run can remove what a killed one left. */
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

const PREFIX = 'sallyport-demo-';

export function makeFolder(): string {
  for (const name of readdirSync(tmpdir())) {
    const pid = name.startsWith(PREFIX) ? Number(name.slice(PREFIX.length).split('-')[0]) : NaN;
    if (Number.isInteger(pid) && !lives(pid)) rmSync(join(tmpdir(), name), {recursive: true, force: true});
  }
  return mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives and is somebody else's.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
