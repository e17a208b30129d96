import {execFileSync} from 'node:child_process';
import {closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, expect, test} from '@jest/globals';
import {createLineWriter, type Losses} from './output.ts';

let dir: string;
const open: number[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-output-'));
});
afterEach(() => {
  for (const fd of open.splice(0)) closeSync(fd);
  rmSync(dir, {recursive: true});
});

const opened = (path: string, flags: string | number): number => {
  const fd = openSync(path, flags);
  open.push(fd);
  return fd;
};

/** A pipe: what its reader finds now, and the end to write to. */
function pipe(): {read: () => string; writer: number; closeReader: () => void} {
  const path = join(dir, 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = opened(path, constants.O_WRONLY);
  const block = Buffer.alloc(1024 * 1024);
  return {
    writer,
    closeReader: () => closeSync(reader),
    read() {
      let all = '';
      for (;;) {
        try {
          const bytes = readSync(reader, block);
          if (bytes === 0) return all;
          all += block.toString('utf8', 0, bytes);
        } catch {
          return all;
        }
      }
    },
  };
}

const losses = (): {lost: number[]; again: number[]; told: Losses} => {
  const lost: number[] = [];
  const again: number[] = [];
  return {lost, again, told: {lost: (lines) => lost.push(lines), again: (lines) => again.push(lines)}};
};
const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

test('lines reach a file in order, and flush writes what waits', () => {
  const file = join(dir, 'log');
  const lines = createLineWriter(opened(file, 'a'));
  for (let i = 0; i < 1000; i++) lines.line(`line ${i}`);
  lines.flush();
  expect(readFileSync(file, 'utf8')).toBe(Array.from({length: 1000}, (_, i) => `line ${i}\n`).join(''));
});

test('a burst is handed to a pipe before anybody waits for it', () => {
  const {read, writer} = pipe();
  const lines = createLineWriter(writer);
  lines.line('x'.repeat(40_000));
  expect(read()).toBe(`${'x'.repeat(40_000)}\n`);
});

test('a full disk: every line is counted as lost, at once, and nothing is thrown', async () => {
  const {lost, again, told} = losses();
  const lines = createLineWriter(opened('/dev/full', 'w'), told);
  for (let i = 0; i < 10; i++) lines.line('x'.repeat(40_000));
  while (sum(lost) < 10) await new Promise((resolve) => setImmediate(resolve));
  lines.line('one more');
  lines.flush();
  expect(sum(lost)).toBeGreaterThanOrEqual(10);
  expect(again).toEqual([]);
});

test('a reader that is gone: every line is counted as lost', () => {
  const {writer, closeReader} = pipe();
  const {lost, told} = losses();
  const lines = createLineWriter(writer, told);
  closeReader();
  for (let i = 0; i < 3; i++) lines.line('x'.repeat(40_000));
  expect(lost).toEqual([1, 1, 1]);
  lines.flush();
});

test('a reader that stands still: what waits is bounded, and when it reads again it is told how many lines it lacks', async () => {
  const {read, writer} = pipe();
  const {lost, again, told} = losses();
  const lines = createLineWriter(writer, told);
  // 12 MB of lines of 1 KB in bursts of 32.
  const written = 12 * 1024;
  for (let i = 0; i < written; i++) lines.line(String(i).padEnd(1023, '.'));
  expect(sum(lost)).toBeGreaterThan(3000);
  expect(sum(lost)).toBeLessThan(5000);
  expect(again).toEqual([]);
  let text = '';
  const more = async (): Promise<void> => {
    text += read();
    await new Promise((resolve) => setImmediate(resolve));
  };
  while (again.length === 0 || !text.endsWith('\n')) await more();
  expect(sum(again)).toBe(sum(lost));
  // Each is 1 KB, as written above.
  while (text.length < (written - sum(lost)) * 1024) await more();
  // Each line whole, and in order.
  const seen = text.trimEnd().split('\n');
  expect(seen).toHaveLength(written - sum(lost));
  expect(seen.every((line) => line.length === 1023)).toBe(true);
});

test('flush does not wait for a reader that stands still', () => {
  const {writer} = pipe();
  const lines = createLineWriter(writer);
  for (let i = 0; i < 10; i++) lines.line('x'.repeat(40_000));
  lines.flush();
});
