/** h11, the reader of Python's servers and clients (uvicorn, httpx). */
import {spawnSync} from 'node:child_process';
import {existsSync, readdirSync} from 'node:fs';
import {homedir} from 'node:os';
import {join} from 'node:path';
import type {Peer} from '../peer.ts';
import {startProcess} from './process.ts';

const SOURCE = new URL('./h11_reader.py', import.meta.url).pathname;

/** null: no Python has it. The one of the PATH is asked, and those of programs that were installed for the bench. */
export async function startH11(dir: string): Promise<Peer | null> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sallyport');
  const others = existsSync(cache) ? readdirSync(cache).map((name) => join(cache, name, 'bin/python')) : [];
  const python = ['python3', ...others.filter((path) => existsSync(path))].find(
    (path) => spawnSync(path, ['-c', 'import h11'], {stdio: 'ignore'}).status === 0,
  );
  if (python === undefined) return null;
  const socket = join(dir, 'h11.sock');
  return startProcess('h11', socket, [python, SOURCE, socket], dir);
}
