/** A file that a flag names. */
import {readFileSync} from 'node:fs';
import {SallyportError} from './errors.ts';

/** Its text. Throws SallyportError `FileUnreadable` with the flag, the file and `fix`. */
export function readFlagFile(flag: string, file: string, fix: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new SallyportError('FileUnreadable', `${flag} ${file}: ${(cause as Error).message}`, fix, {cause});
  }
}
