import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {TokenBucket} from './token-bucket.ts';

describe('a token bucket', () => {
  test('gives its burst at once and nothing more at that moment', () => {
    const bucket = new TokenBucket(3, 1);
    expect([1, 2, 3, 4].map(() => bucket.take(5_000))).toEqual([true, true, true, false]);
  });

  test('gives one more for each second times the rate, up to the burst', () => {
    const bucket = new TokenBucket(2, 4);
    bucket.take(1_000, 2);
    expect(bucket.take(1_200)).toBe(false);
    expect(bucket.take(1_250)).toBe(true);
    expect(bucket.spent(60_000)).toBe(0);
  });

  test('a clock that goes back neither fills nor empties it', () => {
    const bucket = new TokenBucket(1, 1_000);
    bucket.take(1_000);
    expect(bucket.take(500)).toBe(false);
    expect(bucket.take(501)).toBe(true);
  });

  test('what does not fit is not taken in part', () => {
    const bucket = new TokenBucket(5, 1);
    expect(bucket.take(0, 6)).toBe(false);
    expect(bucket.take(0, 5)).toBe(true);
  });

  test('over any time no more than the burst and the rate come out, whatever the pauses', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2_000), {maxLength: 60}), (pauses) => {
        const bucket = new TokenBucket(10, 5);
        let now = 0;
        let taken = 0;
        for (const pause of pauses) {
          now += pause;
          while (bucket.take(now)) taken++;
        }
        expect(taken).toBeLessThanOrEqual(10 + Math.ceil((now / 1000) * 5));
      }),
    );
  });
});
