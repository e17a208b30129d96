import {describe, expect, jest, test} from '@jest/globals';
import {createWorkQueue} from './queue.ts';

describe('a work queue', () => {
  test('works on a name once however often it was added, one at a time', async () => {
    const done: string[] = [];
    let atOnce = 0;
    let most = 0;
    const queue = createWorkQueue(
      async (name) => {
        most = Math.max(most, ++atOnce);
        await Promise.resolve();
        done.push(name);
        atOnce--;
      },
      () => {},
    );
    for (const name of ['a', 'b', 'b', 'c', 'b']) queue.add(name);
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).toEqual(['a', 'b', 'c']);
    expect(most).toBe(1);
  });

  test('a name that is added while it is worked on comes again', async () => {
    const done: string[] = [];
    const queue = createWorkQueue(
      async (name) => {
        if (done.push(name) === 1) queue.add(name);
      },
      () => {},
    );
    queue.add('a');
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).toEqual(['a', 'a']);
  });

  test('what fails comes again, later each time, and the others are not held up', async () => {
    jest.useFakeTimers();
    try {
      const failures: number[] = [];
      const done: string[] = [];
      const queue = createWorkQueue(
        async (name) => {
          if (name === 'bad' && failures.length < 3) throw new Error('no');
          done.push(name);
        },
        (_name, _error, retryMs) => failures.push(retryMs),
      );
      queue.add('bad');
      queue.add('good');
      await jest.advanceTimersByTimeAsync(0);
      expect(done).toEqual(['good']);
      await jest.advanceTimersByTimeAsync(10_000);
      expect(failures).toEqual([500, 1_000, 2_000]);
      expect(done).toEqual(['good', 'bad']);
    } finally {
      jest.useRealTimers();
    }
  });

  test('stopped, it does nothing more', async () => {
    const done: string[] = [];
    const queue = createWorkQueue(
      async (name) => void done.push(name),
      () => {},
    );
    queue.stop();
    queue.add('a');
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).toEqual([]);
  });
});
