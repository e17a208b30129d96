/** `sallyport tproxy` as the tour runs it: started, waited for, its lines shown, ended. */
import type {ChildProcess} from 'node:child_process';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {SallyportError} from '../../runtime/errors.ts';

const START_TIMEOUT_MS = 20_000;

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const MAIN = fileURLToPath(new URL(`../main.${extension}`, import.meta.url));

/** The command line of the proxy under this same Node. */
export const tproxyCommand = (flags: readonly string[]): string[] => [process.execPath, MAIN, 'tproxy', ...flags];

/** Resolves when the proxy says that it listens; rejects with its own words if it ends before. */
export function listening(child: ChildProcess, onLine: (line: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    const failed = (why: string): void =>
      reject(new SallyportError('DemoProxyFailed', `the proxy ${why}\n${said.trim()}`, ''));
    const timer = setTimeout(() => failed(`was not up after ${START_TIMEOUT_MS / 1000} s`), START_TIMEOUT_MS);
    child.stderr!.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.once('exit', (code) => {
      clearTimeout(timer);
      failed(`ended with exit code ${code}`);
    });
    createInterface({input: child.stdout!}).on('line', (line) => {
      onLine(line);
      if (!line.includes('tproxy.listening')) return;
      clearTimeout(timer);
      resolve();
    });
  });
}
