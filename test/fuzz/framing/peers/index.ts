/** All peers that this machine has. */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {Peer} from '../peer.ts';
import {startEnvoy} from './envoy.ts';
import {startGo} from './go.ts';
import {startH11} from './h11.ts';
import {startNginx} from './nginx.ts';
import {startNode} from './node.ts';

const STARTS = {llhttp: startNode, nginx: startNginx, go: startGo, h11: startH11, envoy: startEnvoy} as const;
export type PeerName = keyof typeof STARTS;

export interface Peers {
  readonly list: readonly Peer[];
  /** Those that are not installed. */
  readonly missing: readonly PeerName[];
  close(): Promise<void>;
}

export async function startPeers(names = Object.keys(STARTS) as readonly PeerName[]): Promise<Peers> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-framing-'));
  const list: Peer[] = [];
  const missing: PeerName[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(list.map((peer) => peer.close()));
    rmSync(dir, {recursive: true, force: true});
  };
  try {
    for (const name of names) {
      const peer = await STARTS[name](dir);
      if (peer === null) missing.push(name);
      else list.push(peer);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {list, missing, close};
}
