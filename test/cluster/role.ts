/** A role of `sallyport` as a process beside the control plane, and what it logs. */
import {spawn} from 'node:child_process';
import {join} from 'node:path';
import {within, WITHIN_MS} from '../waiting.ts';
import {createInterface} from 'node:readline';

export interface LogLine {
  readonly event: string;
  readonly message: string;
}

export interface Role {
  readonly pid: number;
  readonly lines: readonly LogLine[];
  /** The first line that fits, now or later. Rejects where the role ends first or it does not come, with what it said. */
  logged(fits: (line: LogLine) => boolean): Promise<LogLine>;
  /** Ends it; the exit code, null where the signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** The last lines that an error shows. */
const SHOWN_LINES = 40;
const ROOT = join(import.meta.dirname, '../..');

/** Starts `sallyport ARGV --log-format json`. */
export function startRole(argv: readonly string[]): Role {
  const child = spawn(process.execPath, [join(ROOT, 'cli/main.ts'), ...argv, '--log-format', 'json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: LogLine[] = [];
  let stderr = '';
  const waiting = new Set<() => void>();
  const look = (): void => {
    for (const one of waiting) one();
  };
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  createInterface(child.stdout).on('line', (line) => {
    lines.push(lineOf(line));
    look();
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  // What it said last is read after it has ended.
  let isRead = false;
  child.once('close', () => {
    isRead = true;
    look();
  });
  const said = (): string =>
    `sallyport ${argv[0]}: ${stderr}\n${lines
      .slice(-SHOWN_LINES)
      .map(({event, message}) => `${event}: ${message}`)
      .join('\n')}`;
  return {
    pid: child.pid!,
    lines,
    logged(fits) {
      let check = (): void => undefined;
      const line = new Promise<LogLine>((resolve, reject) => {
        check = () => {
          const found = lines.find(fits);
          if (found !== undefined) resolve(found);
          else if (isRead) reject(new Error(`it has ended: ${said()}`));
        };
        waiting.add(check);
        check();
      });
      return within(line, `a line: ${fits.toString()}`, {said}).finally(() => waiting.delete(check));
    },
    stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      return within(ended, `its end by ${signal}`, {said, withinMs: 2 * WITHIN_MS});
    },
  };
}

/** What is no JSON is shown as it is. */
function lineOf(text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return {event: 'no journal line', message: text};
  }
}
