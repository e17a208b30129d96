import {watch, type FSWatcher} from 'node:fs';
import {readdir, stat} from 'node:fs/promises';
import {dirname, join} from 'node:path';

/** Editors write in several steps and a ConfigMap swaps a symlink: wait this long for the last of them. */
const SETTLE_MS = 100;
/** inotify misses network file systems and replaced parents; a look at names, sizes and times catches those. */
const POLL_MS = 1000;
/** A watched folder is small; a deeper or larger one is a mistake, and must not cost a scan each second. */
const MAX_WATCHED_FILES = 20_000;

/**
 * Calls `changed` after files under any of the paths (files or directories, which need not exist) changed.
 * By inotify where that works and by polling besides, so a change is seen within about a second in any case.
 * Changes count from `ready` on: what is read after it and changes later is told, without a gap.
 */
export function watchPaths(paths: readonly string[], changed: () => void): {ready: Promise<void>; close(): void} {
  const watchers: FSWatcher[] = [];
  let settle: NodeJS.Timeout | null = null;
  let closed = false;
  let signature: string | null = null;
  let looking = false;

  const look = async (): Promise<void> => {
    if (looking || closed) return;
    looking = true;
    const seen: string[] = [];
    for (const path of paths) await describe(path, seen);
    looking = false;
    const now = seen.join('\n');
    const before = signature;
    signature = now;
    if (before !== null && before !== now && !closed) changed();
  };
  const soon = (): void => {
    if (settle !== null || closed) return;
    settle = setTimeout(() => {
      settle = null;
      void look();
    }, SETTLE_MS);
  };
  for (const path of paths) {
    // A file is watched through its folder too: an editor replaces it, and the old inode is never written again.
    for (const target of new Set([path, dirname(path)])) {
      try {
        watchers.push(watch(target, {persistent: false}, soon).on('error', () => {}));
      } catch {
        // Not there, or no inotify watches left: the poll sees it.
      }
    }
  }
  const poll = setInterval(() => void look(), POLL_MS);
  poll.unref();
  return {
    ready: look(),
    close() {
      closed = true;
      clearInterval(poll);
      if (settle !== null) clearTimeout(settle);
      for (const watcher of watchers) watcher.close();
    },
  };
}

async function describe(path: string, seen: string[]): Promise<void> {
  if (seen.length > MAX_WATCHED_FILES) return;
  try {
    const status = await stat(path);
    if (status.isDirectory()) {
      for (const name of (await readdir(path)).sort()) await describe(join(path, name), seen);
    } else {
      seen.push(`${path} ${status.ino} ${status.size} ${status.mtimeMs}`);
    }
  } catch {
    seen.push(`${path} gone`);
  }
}
