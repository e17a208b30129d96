import {expect, test} from '@jest/globals';
import {parseDuration} from './duration.ts';

test.each([
  ['90d', 7_776_000_000],
  ['12h', 43_200_000],
  ['30m', 1_800_000],
  ['20s', 20_000],
])('%s is %i ms', (text, ms) => {
  expect(parseDuration(text, '--life')).toBe(ms);
});

test.each(['', '0d', '90', 'd', '-1d', '1.5h', '1h30m', '1 h', '1w', '999999999d', '1D'])(
  '%j is refused: nothing is guessed',
  (text) => {
    expect(() => parseDuration(text, '--life')).toThrow(/--life is "/);
  },
);
