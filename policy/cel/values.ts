/** CEL's values as plain ones, with `unknown` as a value instead of an exception: it costs nothing and cannot be lost. */
import {CHARACTERS_PER_STEP, SEARCH_CELLS_PER_STEP} from './limits.ts';
import type {ConditionInput} from './condition.ts';

/** CEL's error and its unknown, which POLICY.md treats alike. */
export const UNKNOWN: unique symbol = Symbol('unknown');

export type CelMap = ReadonlyMap<string, Value> | {readonly [key: string]: Value};
/** int is a bigint, as CEL's 64 bits do not fit into a number. */
export type Value = string | bigint | boolean | readonly Value[] | CelMap | typeof UNKNOWN;

/** One evaluation under way. */
export interface Frame {
  readonly input: ConditionInput;
  /** The variables of `exists`, `all`, ... by nesting. */
  readonly variables: Value[];
  stepsLeft: number;
}

export type Evaluate = (frame: Frame) => Value;

/** Thrown when the steps are used up, and caught where the evaluation began. One object: throwing it costs no stack trace. */
export const OVER_BUDGET = new Error('the condition takes too many steps');

/** Takes steps from the budget. Throws OVER_BUDGET. */
export function spend(frame: Frame, steps: number): void {
  frame.stepsLeft -= steps;
  if (frame.stepsLeft < 0) throw OVER_BUDGET;
}

/** For what reads or copies a text once. */
export function spendOnText(frame: Frame, characters: number): void {
  spend(frame, 1 + Math.floor(characters / CHARACTERS_PER_STEP));
}

/** For a search, whose worst case is the product of both lengths. */
export function spendOnSearch(frame: Frame, characters: number, pattern: number): void {
  spend(frame, 1 + Math.floor((characters * Math.max(1, pattern)) / SEARCH_CELLS_PER_STEP));
}

export const isList = (value: Value): value is readonly Value[] => Array.isArray(value);
export const isMap = (value: Value): value is CelMap => typeof value === 'object' && !Array.isArray(value);

/** The value under a key; undefined: there is none. Never an inherited property. */
export function lookUp(map: CelMap, key: string): Value | undefined {
  if (map instanceof Map) return (map as ReadonlyMap<string, Value>).get(key);
  return Object.hasOwn(map, key) ? (map as {readonly [key: string]: Value})[key] : undefined;
}

export const keysOf = (map: CelMap): readonly string[] =>
  map instanceof Map ? [...(map as ReadonlyMap<string, Value>).keys()] : Object.keys(map);

/** Equality of two values of one type; the type check has seen to that. */
export function equal(frame: Frame, a: Value, b: Value): boolean | typeof UNKNOWN {
  if (a === UNKNOWN || b === UNKNOWN) return UNKNOWN;
  if (typeof a === 'string' && typeof b === 'string') {
    // Texts of different length are told apart without reading them.
    if (a.length === b.length) spendOnText(frame, a.length);
    return a === b;
  }
  if (isList(a) && isList(b)) {
    if (a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) {
      spend(frame, 1);
      const same = equal(frame, a[i]!, b[i]!);
      if (same !== true) return same;
    }
    return true;
  }
  if (isMap(a) && isMap(b)) {
    const keys = keysOf(a);
    if (keys.length !== keysOf(b).length) return false;
    for (const key of keys) {
      spend(frame, 1);
      const other = lookUp(b, key);
      const same = other === undefined ? false : equal(frame, lookUp(a, key)!, other);
      if (same !== true) return same;
    }
    return true;
  }
  return a === b;
}

const MAX_INT = 2n ** 63n - 1n;

/** CEL's int is 64 bits wide and overflow is an error. */
export const int64 = (value: bigint): Value => (value > MAX_INT || value < -MAX_INT - 1n ? UNKNOWN : value);
