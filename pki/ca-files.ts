/** The files of --ca-dir: the only place of pki/ that touches a disk. */
import {randomBytes} from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import {join} from 'node:path';
import {SallyportError} from '../runtime/errors.ts';

const DIR_MODE = 0o700;
export const KEY_MODE = 0o600;
export const CERTIFICATE_MODE = 0o644;

/** Makes the directory (0700) where it is not there. Throws CaUnwritable, or CaPermissions where others may put files into it. */
export function prepareCaDir(dir: string): void {
  try {
    mkdirSync(dir, {recursive: true, mode: DIR_MODE});
  } catch (cause) {
    throw unwritable(dir, cause);
  }
  // Whoever may write here may put a CA of his own in place of ours.
  if (statSync(dir).mode & 0o022)
    throw new SallyportError('CaPermissions', `${dir} can be written by others`, `Run: chmod go-w ${dir}`);
}

export function caFileExists(dir: string, name: string): boolean {
  return existsSync(join(dir, name));
}

/** Throws CaUnreadable; for keys also CaPermissions, where group or world may read them. */
export function readCaFile(dir: string, name: string): string {
  const path = join(dir, name);
  try {
    if (/(\.key|-ca\.pem)$/.test(name) && statSync(path).mode & 0o077)
      throw new SallyportError(
        'CaPermissions',
        `${path} can be read by others than its owner`,
        `Run: chmod 600 ${path}`,
      );
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof SallyportError) throw cause;
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw missing
      ? new SallyportError(
          'CaMissingFile',
          `${path} is missing`,
          'Bring the pair, or move both away to have them made.',
        )
      : new SallyportError('CaUnreadable', `${path} cannot be read`, 'Give this user the right to read it.', {cause});
  }
}

/**
 * Writes a file that is there wholly or not at all. `create`: the first of several processes wins, and the answer is false
 * for the others, who then read the winner's. `replace`: the last one wins.
 */
export function writeCaFile(
  dir: string,
  name: string,
  content: string | Buffer,
  mode: number,
  how: 'create' | 'replace',
): boolean {
  const path = join(dir, name);
  const draft = `${path}.${process.pid}-${randomBytes(6).toString('hex')}`;
  try {
    const fd = openSync(draft, 'wx', mode);
    try {
      writeFileSync(fd, content);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (how === 'replace') renameSync(draft, path);
    else linkSync(draft, path);
    return true;
  } catch (cause) {
    if (how === 'create' && (cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw unwritable(path, cause);
  } finally {
    rmSync(draft, {force: true});
  }
}

function unwritable(path: string, cause: unknown): SallyportError {
  return new SallyportError(
    'CaUnwritable',
    `${path} cannot be written (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`,
    'Name a --ca-dir that this user may write to.',
    {cause},
  );
}
