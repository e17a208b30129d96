/** Names that are to be looked at: each once however often it is added, one after the other, again after a failure. */

export interface WorkQueue {
  add(name: string): void;
  /** Adds nothing more, and forgets what waits. */
  stop(): void;
}

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 60_000;

/** `work` is called for one name at a time; where it rejects, `failed` is told and the name comes again, later each time. */
export function createWorkQueue(
  work: (name: string) => Promise<void>,
  failed: (name: string, error: unknown, retryMs: number) => void,
): WorkQueue {
  const waiting = new Set<string>();
  const retries = new Map<string, {readonly timer: NodeJS.Timeout; readonly ms: number}>();
  let running = false;
  let stopped = false;

  const run = async (): Promise<void> => {
    if (running) return;
    running = true;
    for (let name = first(waiting); name !== undefined && !stopped; name = first(waiting)) {
      waiting.delete(name);
      const before = retries.get(name)?.ms;
      try {
        await work(name);
        clearTimeout(retries.get(name)?.timer);
        retries.delete(name);
      } catch (error) {
        if (stopped) break;
        const again = name;
        const ms = before === undefined ? FIRST_RETRY_MS : Math.min(before * 2, MAX_RETRY_MS);
        clearTimeout(retries.get(name)?.timer);
        retries.set(name, {ms, timer: setTimeout(() => add(again), ms)});
        failed(name, error, ms);
      }
    }
    running = false;
  };
  const add = (name: string): void => {
    if (stopped) return;
    waiting.add(name);
    void run();
  };
  return {
    add,
    stop() {
      stopped = true;
      waiting.clear();
      for (const {timer} of retries.values()) clearTimeout(timer);
    },
  };
}

const first = (names: ReadonlySet<string>): string | undefined => names.values().next().value;
