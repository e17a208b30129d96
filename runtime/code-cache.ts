/** V8's compiled code, kept between starts: it halves the time to the first connection, which is what an upgrade costs. */
import {lstatSync, mkdirSync} from 'node:fs';
import {enableCompileCache, flushCompileCache, getCompileCacheDir} from 'node:module';
import {homedir} from 'node:os';
import {dirname, join} from 'node:path';

/** Whoever can write the cache can run code as us: it is used only where it and the folders above it are ours alone. */
export function isOursAlone(folder: string): boolean {
  const uid = process.getuid?.();
  for (const path of [folder, dirname(folder), dirname(dirname(folder))]) {
    const status = lstatSync(path);
    if (!status.isDirectory() || status.uid !== uid || (status.mode & 0o022) !== 0) return false;
  }
  return true;
}

/** Uses the per-user cache folder, if there is a safe one; a read-only file system or a foreign folder is no error, only slower. */
export function useCodeCache(cacheHome = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')): void {
  const folder = join(cacheHome, 'sallyport', 'code');
  try {
    mkdirSync(folder, {recursive: true, mode: 0o700});
    if (isOursAlone(folder)) enableCompileCache(folder);
  } catch {
    // Started without it.
  }
}

/** The environment by which a child shares the cache. */
export function codeCacheEnvironment(): Record<string, string> {
  const folder = getCompileCacheDir();
  return folder === undefined ? {} : {NODE_COMPILE_CACHE: folder};
}

/** Written now and not at exit, which may be a SIGKILL. */
export const keepCodeCache = (): void => flushCompileCache();
