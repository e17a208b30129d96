/** Files that an operator gives us. */
import {closeSync, constants, fstatSync, openSync, readFileSync} from 'node:fs';

/** More than any policy file, table or certificate bundle has; what is larger is a mistake and would stop us while it is read. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;

/**
 * The text of a regular file. Throws the file system's error, or says that it is none: to read a pipe would be to wait for
 * its writer, and a device may never end.
 */
export function readRegularFile(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) throw new Error(`${path} is no regular file`);
    if (status.size > MAX_FILE_BYTES) throw new Error(`${path} has ${status.size} bytes, more than ${MAX_FILE_BYTES}`);
    return readFileSync(fd, 'utf8');
  } finally {
    closeSync(fd);
  }
}
