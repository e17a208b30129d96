/**
 * A thread that watches the fuzzer from outside: an input on which the code never comes back is a finding like any other, and
 * nothing else could say which one it was. It writes the input to the target's `found.txt` and ends the process.
 */
import {writeSync} from 'node:fs';
import {Worker, isMainThread, workerData} from 'node:worker_threads';
import {readCorpus, writeCorpus} from './corpus.ts';

/** No input of these sizes takes a hundredth of it. */
const HANG_MS = 20_000;
const LOOK_EVERY_MS = 1_000;
/** What both threads see: [0] counts the inputs, [1] is the length of the one that is tried, 0 between two; then its bytes. */
const HEADER_BYTES = 8;

interface Watched {
  readonly shared: SharedArrayBuffer;
  readonly target: string;
}

export interface Watchdog {
  /** Before an input is tried. */
  trying(input: Buffer): void;
  close(): Promise<unknown>;
}

export function startWatchdog(target: string, maxBytes: number): Watchdog {
  const shared = new SharedArrayBuffer(HEADER_BYTES + maxBytes);
  const state = new Int32Array(shared, 0, 2);
  const bytes = new Uint8Array(shared, HEADER_BYTES);
  const worker = new Worker(new URL(import.meta.url), {workerData: {shared, target} satisfies Watched});
  worker.unref();
  return {
    trying(input) {
      bytes.set(input.length > maxBytes ? input.subarray(0, maxBytes) : input);
      state[1] = Math.min(input.length, maxBytes);
      state[0] = (state[0]! + 1) | 0;
    },
    close: () => worker.terminate(),
  };
}

function watch({shared, target}: Watched): void {
  const state = new Int32Array(shared, 0, 2);
  let seen = state[0];
  let since = performance.now();
  setInterval(() => {
    if (state[0] !== seen) {
      seen = state[0];
      since = performance.now();
      return;
    }
    if (performance.now() - since < HANG_MS) return;
    const input = Buffer.from(new Uint8Array(shared, HEADER_BYTES, state[1]));
    writeCorpus(target, 'found', [...readCorpus(target, 'found'), input]);
    // Written at once: what a thread gives to process.stderr would go with the process.
    writeSync(2, `${target}: an input that does not end within ${HANG_MS / 1000} s is in found.txt\n`);
    process.kill(process.pid, 'SIGKILL');
  }, LOOK_EVERY_MS);
}

if (!isMainThread) watch(workerData as Watched);
