import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {isoClock, quoted, quotedOrNull, tenths} from './json-text.ts';

describe('text written by hand says what JSON.stringify says', () => {
  test('of any string, quotes, escapes, controls and lone surrogates among them', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({unit: 'binary'})), (text) => {
        expect(quoted(text)).toBe(JSON.stringify(text));
      }),
    );
    for (const text of ['', '"', '\\', '\n', '\u007f', 'ü', '\ud800', '/a"b'])
      expect(quoted(text)).toBe(JSON.stringify(text));
    expect(quotedOrNull(null)).toBe('null');
    expect(quotedOrNull('a')).toBe('"a"');
  });
  test('of a time, whatever came before it', () => {
    const clock = isoClock();
    fc.assert(
      fc.property(fc.date({noInvalidDate: true, min: new Date(0), max: new Date('2100-01-01')}), (now) => {
        expect(clock(now)).toBe(now.toISOString());
      }),
    );
    for (const at of [0, 5, 50, 500, 999, 1000, 1001, 999, 0]) {
      const now = new Date(at);
      expect(clock(now)).toBe(now.toISOString());
    }
  });
  test('of milliseconds, to one decimal', () => {
    fc.assert(
      fc.property(fc.double({min: 0, max: 1e9, noNaN: true}), (ms) => {
        expect(Number(tenths(ms))).toBeCloseTo(Math.round(ms * 10) / 10, 6);
        expect(JSON.parse(tenths(ms))).toEqual(Number(tenths(ms)));
      }),
    );
    expect([0, 0.04, 0.05, 12, 12.34, 99.96].map(tenths)).toEqual(['0', '0', '0.1', '12', '12.3', '100']);
  });
});
