/** A peer that is a program of its own: started, waited for until its socket is there, and ended. */
import {spawn} from 'node:child_process';
import {existsSync} from 'node:fs';
import {connect} from 'node:net';
import type {Peer} from '../peer.ts';

const START_PATIENCE_MS = 30_000;
const LOOK_EVERY_MS = 20;

export async function startProcess(name: string, socket: string, argv: readonly string[], cwd: string): Promise<Peer> {
  const child = spawn(argv[0]!, argv.slice(1), {cwd, stdio: ['ignore', 'ignore', 'pipe']});
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-2000)));
  const exited = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', (error) => {
      said = error.message;
      resolve();
    });
  });
  let ended = false;
  void exited.then(() => (ended = true));
  // It must not outlive us, whatever happens to us.
  const end = (): boolean => child.kill('SIGKILL');
  process.once('exit', end);
  const until = performance.now() + START_PATIENCE_MS;
  while (!(existsSync(socket) && (await answers(socket)))) {
    if (ended || performance.now() > until) {
      end();
      throw new Error(`${name} does not start: ${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  return {
    name,
    socket,
    silenceMs: 0,
    close: async () => {
      process.off('exit', end);
      child.kill('SIGTERM');
      await exited;
    },
  };
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
