/** A real squid for the tour: its configuration, and waiting until it is there. */
import type {ChildProcess} from 'node:child_process';
import type {Socket} from 'node:net';

/** squid looks at its certificates, caches and name before it listens. */
const START_MS = 15_000;
const RETRY_MS = 50;
/** With shutdown_lifetime 0 it takes a moment only. */
const END_MS = 3000;

/** squid as small as it goes, to be run with -N; `more` are further lines. The requests it gets are in its cache.log. */
export function squidConfig(dir: string, listen: string, resolver: string, ...more: readonly string[]): string {
  return `http_port ${listen}
http_access allow all
cache deny all
dns_nameservers ${resolver}
access_log stdio:${dir}/access.log
cache_log ${dir}/cache.log
debug_options ALL,1 11,2
pid_filename none
visible_hostname squid.invalid
coredump_dir ${dir}
shutdown_lifetime 0 seconds
${more.map((line) => `${line}\n`).join('')}`;
}

/** Waits until `dial` connects; false where squid ended or takes too long. */
export async function accepts(squid: ChildProcess, dial: () => Socket): Promise<boolean> {
  const end = Date.now() + START_MS;
  while (squid.exitCode === null && Date.now() < end) {
    const up = await new Promise<boolean>((resolve) => {
      const socket = dial();
      const done = (connected: boolean): void => {
        socket.destroy();
        resolve(connected);
      };
      socket.once('connect', () => done(true));
      socket.once('error', () => done(false));
    });
    if (up) return true;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  return false;
}

/** Asks squid to end and waits for it: killed at once it would leave its shared memory to the next user. */
export async function ended(squid: ChildProcess): Promise<void> {
  if (squid.exitCode !== null || squid.signalCode !== null) return;
  const gone = new Promise((resolve) => squid.once('exit', resolve));
  const kill = setTimeout(() => squid.kill('SIGKILL'), END_MS);
  squid.kill('SIGTERM');
  await gone;
  clearTimeout(kill);
}
