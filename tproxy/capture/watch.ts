/** Tells when the kernel's rules, links or routes change: by its own notifications, and by the clock where these fail. */
import type {Commands} from './commands.ts';

export interface Watch {
  close(): void;
}

/** Many changes come at once (a CNI plugging in a pod, kube-proxy's sync): one look for all of them. */
const SETTLE_MS = 50;
/** A monitor that ended is started again, but not in a loop. */
const RESTART_MS = 1000;

/**
 * `on.rules`: compare the tables. `on.places`: members may be somewhere else. Neither may reject. `on.addresses`: this node's
 * own may be others; it is told at once, for whoever gets one waits for nobody.
 */
export function createWatch(
  commands: Commands,
  intervalMs: number,
  on: {rules: () => Promise<void>; places: () => Promise<void>; addresses: () => void},
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

  const follow = (
    argv: readonly [string, ...string[]],
    work: () => Promise<void>,
    atOnce: (text: string) => void = () => undefined,
  ): void => {
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
        commands.follow(
          argv,
          (text) => {
            atOnce(text);
            changed();
          },
          () => later(RESTART_MS, start),
        ),
      );
      // What happened while nobody listened.
      changed();
    };
    start();
  };
  // Our own changes come back too: the comparison finds nothing then.
  follow(['nft', 'monitor'], on.rules);
  follow(
    ['ip', '-o', 'monitor', 'link', 'address', 'route', 'rule'],
    async () => {
      await on.places();
      await on.rules();
    },
    (text) => {
      // Lines of addresses only: `3: eth0    inet 10.0.0.1/32 scope global ...`, with "Deleted" in front where it is gone.
      if (text.includes(' inet')) on.addresses();
    },
  );

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
