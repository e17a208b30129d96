/** Tells when the kernel's rules, links or routes change: by its own notifications, and by the clock where these fail. */
import type {Commands} from './commands.ts';

export interface Watch {
  close(): void;
}

/** Many changes come at once (a CNI plugging in a pod, kube-proxy's sync): one look for all of them. */
const SETTLE_MS = 50;
/** A monitor that ended is started again, but not in a loop. */
const RESTART_MS = 1000;

/** `on.rules`: compare the tables. `on.places`: members may be somewhere else. Neither may reject. */
export function createWatch(
  commands: Commands,
  intervalMs: number,
  on: {rules: () => Promise<void>; places: () => Promise<void>},
): Watch {
  const timers = new Set<NodeJS.Timeout>();
  const monitors = new Map<string, {close(): void}>();
  let closed = false;
  const later = (ms: number, work: () => void): void => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      if (!closed) work();
    }, ms);
    timer.unref();
    timers.add(timer);
  };

  const follow = (argv: readonly [string, ...string[]], work: () => Promise<void>): void => {
    let waiting = false;
    const changed = (): void => {
      if (waiting) return;
      waiting = true;
      later(SETTLE_MS, () => {
        waiting = false;
        void work();
      });
    };
    const start = (): void => {
      monitors.set(
        argv[0],
        commands.follow(argv, changed, () => later(RESTART_MS, start)),
      );
      // What happened while nobody listened.
      changed();
    };
    start();
  };
  // Our own changes come back too: the comparison finds nothing then.
  follow(['nft', 'monitor'], on.rules);
  follow(['ip', '-o', 'monitor', 'link', 'route', 'rule'], async () => {
    await on.places();
    await on.rules();
  });

  const interval = setInterval(() => void on.places().then(on.rules), intervalMs);
  interval.unref();
  return {
    close() {
      closed = true;
      clearInterval(interval);
      for (const timer of timers) clearTimeout(timer);
      for (const monitor of monitors.values()) monitor.close();
    },
  };
}
