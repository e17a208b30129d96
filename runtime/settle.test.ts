import {afterEach, beforeEach, expect, jest, test} from '@jest/globals';
import {Settle} from './settle.ts';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

test('the first of a burst is taken at once, and what comes after it together', () => {
  let taken = 0;
  const settle = new Settle(500, () => taken++);
  settle.ask();
  settle.ask();
  expect(taken).toBe(0);
  jest.advanceTimersByTime(0);
  expect(taken).toBe(1);
  for (let i = 0; i < 4; i++) {
    settle.ask();
    jest.advanceTimersByTime(100);
  }
  expect(taken).toBe(1);
  jest.advanceTimersByTime(100);
  expect(taken).toBe(2);
  jest.advanceTimersByTime(10_000);
  expect(taken).toBe(2);
});

test('nothing is taken after its end, whoever asks', () => {
  let taken = 0;
  const settle = new Settle(500, () => taken++);
  settle.ask();
  settle.stop();
  settle.ask();
  jest.advanceTimersByTime(10_000);
  expect(taken).toBe(0);
});
