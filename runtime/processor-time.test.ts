import {spawn} from 'node:child_process';
import {expect, test} from '@jest/globals';
import {processorTime} from './processor-time.ts';

test('of this process: it runs, and what it uses grows', () => {
  const before = processorTime(process.pid)!;
  expect(before.state).toBe('R');
  while (processorTime(process.pid)!.usedMs === before.usedMs) JSON.stringify(process.versions);
  expect(processorTime(process.pid)!.usedMs).toBeGreaterThan(before.usedMs);
});

test('of a process that is stopped, and of one that is gone', async () => {
  const child = spawn('sleep', ['60']);
  child.kill('SIGSTOP');
  while (processorTime(child.pid!)!.state !== 'T') await new Promise(setImmediate);
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
  expect(processorTime(child.pid!)).toBeNull();
});
