/** Arithmetic and order. Both sides are known and of one type; overflow and division by zero are unknown. */
import {int64, isList, spend, spendOnText, UNKNOWN} from './values.ts';
import type {Frame, Value} from './values.ts';

type Operator = (frame: Frame, a: Value, b: Value) => Value;

const onInts =
  (use: (a: bigint, b: bigint) => Value): Operator =>
  (_frame, a, b) =>
    typeof a === 'bigint' && typeof b === 'bigint' ? use(a, b) : UNKNOWN;

const ordered =
  (holds: (a: string | bigint | boolean, b: string | bigint | boolean) => boolean): Operator =>
  (frame, a, b) => {
    if (typeof a === 'string' && typeof b === 'string') {
      spendOnText(frame, Math.min(a.length, b.length));
      return holds(a, b);
    }
    if (typeof a === 'bigint' && typeof b === 'bigint') return holds(a, b);
    if (typeof a === 'boolean' && typeof b === 'boolean') return holds(a, b);
    return UNKNOWN;
  };

export const BINARY: Readonly<Record<string, Operator>> = {
  '+': (frame, a, b) => {
    if (typeof a === 'bigint' && typeof b === 'bigint') return int64(a + b);
    if (typeof a === 'string' && typeof b === 'string') {
      spendOnText(frame, a.length + b.length);
      return a + b;
    }
    if (!isList(a) || !isList(b)) return UNKNOWN;
    spend(frame, a.length + b.length);
    return [...a, ...b];
  },
  '-': onInts((a, b) => int64(a - b)),
  '*': onInts((a, b) => int64(a * b)),
  '/': onInts((a, b) => (b === 0n ? UNKNOWN : int64(a / b))),
  '%': onInts((a, b) => (b === 0n ? UNKNOWN : int64(a % b))),
  '<': ordered((a, b) => a < b),
  '<=': ordered((a, b) => a <= b),
  '>': ordered((a, b) => a > b),
  '>=': ordered((a, b) => a >= b),
};

export const negate = (value: Value): Value => (typeof value === 'bigint' ? int64(-value) : UNKNOWN);
