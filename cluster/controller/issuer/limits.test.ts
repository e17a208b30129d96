import {expect, test} from '@jest/globals';
import {Rates, RATES} from './limits.ts';

const taken = (rates: Rates, asker: string, nowMs: number, times: number): number =>
  Array.from({length: times}, () => rates.take(asker, nowMs)).filter(Boolean).length;

test.each(Object.entries(RATES))('of an asker (%s) so many at once, then so many a second', (_name, rate) => {
  const rates = new Rates(rate);
  expect(taken(rates, 'one', 1_000, rate.burst * 2)).toBe(rate.burst);
  expect(taken(rates, 'one', 2_000, rate.burst * 2)).toBe(rate.perSecond);
  expect(taken(rates, 'one', 2_000, 1)).toBe(0);
  // Full again, and not more than full.
  expect(taken(rates, 'one', 1e9, rate.burst * 2)).toBe(rate.burst);
});

test('what one has asked too much takes nothing of another', () => {
  const rates = new Rates(RATES.pod);
  taken(rates, 'one', 1_000, 1_000);
  expect(taken(rates, 'other', 1_000, 1)).toBe(1);
});

test('a clock that goes back gives nothing', () => {
  const rates = new Rates(RATES.pod);
  taken(rates, 'one', 10_000, RATES.pod.burst);
  expect(taken(rates, 'one', 5_000, 1)).toBe(0);
  expect(taken(rates, 'one', 6_000, 5)).toBe(RATES.pod.perSecond);
});

test('addresses of a whole network are remembered up to a number: the one not heard of for longest begins anew', () => {
  const rates = new Rates({burst: 1, perSecond: 0});
  expect(rates.take('first', 1)).toBe(true);
  for (let at = 0; at < 16_384; at++) {
    expect(rates.take(`fd00::${at.toString(16)}`, 1)).toBe(true);
    if (at < 16_383) expect(rates.take('first', 1)).toBe(false);
  }
});
