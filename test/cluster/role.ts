/** A role of `sallyport` as a process beside the control plane, and what it logs. */
import {spawn} from 'node:child_process';
import {join} from 'node:path';
import {createInterface} from 'node:readline';

export interface LogLine {
  readonly event: string;
  readonly message: string;
}

export interface Role {
  readonly pid: number;
  readonly lines: readonly LogLine[];
  /** The first line that fits, now or later. Rejects where the role ends first, with what it said. */
  logged(fits: (line: LogLine) => boolean): Promise<LogLine>;
  /** Ends it; the exit code, null where the signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

const ROOT = join(import.meta.dirname, '../..');

/** Starts `sallyport ARGV --log-format json`. */
export function startRole(argv: readonly string[]): Role {
  const child = spawn(process.execPath, [join(ROOT, 'cli/main.ts'), ...argv, '--log-format', 'json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: LogLine[] = [];
  let stderr = '';
  let waiting: (() => void)[] = [];
  const look = (): void => {
    const asked = waiting;
    waiting = [];
    for (const one of asked) one();
  };
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  createInterface(child.stdout).on('line', (line) => {
    lines.push(JSON.parse(line) as LogLine);
    look();
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  void ended.then(look);
  return {
    pid: child.pid!,
    lines,
    logged: (fits) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const found = lines.find(fits);
          if (found !== undefined) resolve(found);
          else if (child.exitCode !== null || child.signalCode !== null)
            reject(new Error(`sallyport ${argv[0]} has ended: ${stderr}\n${lines.map((l) => l.message).join('\n')}`));
          else waiting.push(check);
        };
        check();
      }),
    stop: (signal = 'SIGTERM') => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      return ended;
    },
  };
}
