import {expect, test} from '@jest/globals';
import fc from 'fast-check';
import {renewIdentityAtMs, retryInMs} from './renewal.ts';

const random = fc.double({min: 0, max: 1, noNaN: true});

test('renewed between half and two thirds of what was left when it came, so that a third is there for a controller that is away', () => {
  fc.assert(
    fc.property(fc.integer({min: 1, max: 2 ** 40}), fc.integer({min: 2_000, max: 2 ** 36}), random, (came, life, r) => {
      const at = renewIdentityAtMs(came, came + life, r);
      expect(at).toBeGreaterThanOrEqual(came + life / 2);
      expect(at).toBeLessThanOrEqual(came + (life * 2) / 3 + 1);
    }),
  );
});

test('one that is about to end, with its CA or by a clock that is ahead, is no reason to ask more than once a second', () => {
  fc.assert(
    fc.property(fc.integer({min: 1, max: 2 ** 40}), fc.integer({min: -2_000, max: 1_999}), random, (came, life, r) => {
      expect(renewIdentityAtMs(came, came + life, r)).toBeGreaterThanOrEqual(came + 1_000);
    }),
  );
});

test('asked again soon at first, then more and more seldom, and at least every 45 seconds', () => {
  expect([1, 2, 3, 7, 1_000].map((failures) => retryInMs(failures, 0.5))).toEqual([500, 1_000, 2_000, 30_000, 30_000]);
  fc.assert(
    fc.property(fc.integer({min: 1, max: 10_000}), random, (failures, r) => {
      expect(retryInMs(failures, r)).toBeGreaterThanOrEqual(250);
      expect(retryInMs(failures, r)).toBeLessThanOrEqual(45_000);
    }),
  );
});
