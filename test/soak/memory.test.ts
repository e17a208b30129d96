import {describe, expect, test} from '@jest/globals';
import {verdicts, type Sample} from './memory.ts';

const MB = 1024 * 1024;
const samples = (resident: (i: number) => number): Sample[] =>
  Array.from({length: 40}, (_, i) => ({requests: i * 1_000, resident: {worker: resident(i) * MB}, heapBytes: 50 * MB}));

describe('memory is', () => {
  test.each([
    ['flat where it stays the same', () => 100, true],
    ['flat where it only grew while warming up', (i: number) => (i < 10 ? 50 + 5 * i : 100), true],
    ['flat where it goes up and down', (i: number) => 100 + (i % 4) * 10, true],
    ['not flat where it grows all the time', (i: number) => 100 + i, false],
    ['not flat where it grows in steps', (i: number) => 100 + Math.floor(i / 10) * 20, false],
  ])('%s', (_, resident, flat) => {
    expect(verdicts(samples(resident))[0]!.flat).toBe(flat);
  });

  test('not judged by too few samples', () => {
    expect(() => verdicts(samples(() => 1).slice(0, 7))).toThrow('too few');
  });
});
