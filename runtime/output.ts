import pino from 'pino';

/** Where a command's own words go: results to stdout, complaints to stderr. */
export interface Out {
  stdout(text: string): void;
  stderr(text: string): void;
}

/** Where log lines go. */
export interface LineWriter {
  /** Appends one line (without its line end). */
  line(text: string): void;
  /** Writes what is buffered, now. */
  flush(): void;
}

/** Log lines wait at most this long before they are written, so that a burst is one write. */
const FLUSH_EVERY_MS = 50;
/** ... or until this many characters wait: each write wakes another thread, which costs as much as a dozen lines. */
const FLUSH_AT_CHARS = 32 * 1024;
/** What may wait while the reader of the log is slow; past it lines are dropped and counted (invariant 8: a full disk is no outage). */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;

/**
 * Buffered, non-blocking lines to a file descriptor (1 is stdout).
 * `onDropped` is called with the number of lines lost since the last call.
 */
export function createLineWriter(fd: number, onDropped: (lines: number) => void = () => {}): LineWriter {
  const destination = pino.destination({fd, sync: false, maxLength: MAX_WAITING_BYTES});
  let text = '';
  let lines = 0;
  let dropped = 0;
  let due: NodeJS.Timeout | null = null;
  // Called from write(), so what is lost is what was just handed over.
  destination.on('drop', () => (dropped += lines));
  // A log that cannot be written is no reason to stop guarding: lines are lost, and counted, until it can.
  destination.on('error', () => dropped++);
  destination.on('drain', () => {
    if (dropped === 0) return;
    onDropped(dropped);
    dropped = 0;
  });

  const handOver = (): void => {
    if (due !== null) clearTimeout(due);
    due = null;
    if (lines === 0) return;
    destination.write(text);
    text = '';
    lines = 0;
  };
  return {
    line(one) {
      text += `${one}\n`;
      lines++;
      if (text.length >= FLUSH_AT_CHARS) handOver();
      else due ??= setTimeout(handOver, FLUSH_EVERY_MS).unref();
    },
    flush() {
      handOver();
      try {
        destination.flushSync();
      } catch {
        dropped++;
      }
    },
  };
}
