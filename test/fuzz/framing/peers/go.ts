/** Go's net/http, which half of the cluster's own services read with. */
import {spawnSync} from 'node:child_process';
import {join} from 'node:path';
import type {Peer} from '../peer.ts';
import {startProcess} from './process.ts';

const SOURCE = new URL('./reader.go', import.meta.url).pathname;

/** null: there is no Go. Nothing is downloaded: the program needs the standard library only. */
export async function startGo(dir: string): Promise<Peer | null> {
  const program = join(dir, 'reader');
  const env = {...process.env, GO111MODULE: 'off', CGO_ENABLED: '0'};
  const built = spawnSync('go', ['build', '-o', program, SOURCE], {env, stdio: ['ignore', 'ignore', 'inherit']});
  if (built.status !== 0) return null;
  const socket = join(dir, 'go.sock');
  return startProcess('Go net/http', socket, [program, socket], dir);
}
