/**
 * This process's main thread in another network namespace, for as long as one synchronous function runs.
 * A socket stays in the namespace it was made in, and a child starts in its parent's: so one Node process
 * can hold servers and clients in many namespaces. Threads of libuv's pool stay where they were.
 */
import {closeSync, openSync} from 'node:fs';
import {setNetworkNamespace} from '../../tproxy/capture/libc.ts';

let home: number | null = null;

/** Where `ip netns` keeps a namespace. */
export const namespacePath = (name: string): string => `/run/netns/${name}`;

/**
 * Runs `work` inside the namespace at `path` and comes back, whatever it throws. `work` must be synchronous:
 * what it awaits, or leaves to a callback, runs at home again. Not to be called in a worker thread: Node starts
 * children from the calling thread, but opens files from the pool.
 */
export function inNamespace<T>(path: string, work: () => T extends Promise<unknown> ? never : T): T {
  home ??= openSync('/proc/self/ns/net', 'r');
  const there = openSync(path, 'r');
  try {
    setNetworkNamespace(there);
  } finally {
    closeSync(there);
  }
  try {
    return work();
  } finally {
    setNetworkNamespace(home);
  }
}
