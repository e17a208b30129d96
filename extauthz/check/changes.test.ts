import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {changesOf, difference, mutated, type Changes} from './changes.ts';

const NONE = {set: {}, add: {}, remove: []};

/** What Envoy 1.36 to 1.40 make of an answer: first overwriting, then appending where something is, then removing. */
function envoy(lines: readonly string[], {headers, remove}: Changes): Map<string, string[]> {
  const now = new Map<string, string[]>();
  for (let i = 0; i < lines.length; i += 2) {
    const name = lines[i]!.toLowerCase();
    now.set(name, [...(now.get(name) ?? []), lines[i + 1]!]);
  }
  for (const {name, value, append} of headers) if (!append) now.set(name, [value]);
  for (const {name, value, append} of headers) {
    const there = now.get(name);
    if (append && there !== undefined) now.set(name, [`${there.join(',')},${value}`]);
  }
  for (const name of remove) now.delete(name);
  return now;
}

const joined = (lines: ReadonlyMap<string, readonly string[]> | readonly string[]): Record<string, string> => {
  const map =
    lines instanceof Map
      ? (lines as Map<string, string[]>)
      : envoy(lines as readonly string[], {headers: [], remove: []});
  return Object.fromEntries([...map].map(([name, values]) => [name, values.join(',')]));
};

describe('what a rule changes', () => {
  test('is nothing where it changes nothing', () => {
    expect(changesOf(NONE, ['a', 'b'])).toEqual({headers: [], remove: []});
  });
  test('is an overwriting of what it removes and adds', () => {
    expect(changesOf({set: {}, add: {x: '1'}, remove: ['x', 'y']}, ['x', '0'])).toEqual({
      headers: [{name: 'x', value: '1', append: false}],
      remove: ['y'],
    });
  });
  test('is appended to what it sets itself', () => {
    expect(changesOf({set: {x: '1'}, add: {x: '2'}, remove: []}, []).headers).toEqual([
      {name: 'x', value: '1', append: false},
      {name: 'x', value: '2', append: true},
    ]);
  });
});

const name = fc.constantFrom('a', 'b', 'c', 'd');
const value = fc.constantFrom('1', '2', '3', '');
const lines = fc
  .array(fc.tuple(fc.oneof(name, fc.constantFrom('A', 'B')), value), {maxLength: 6})
  .map((pairs) => pairs.flat());
const mutations = fc
  .record({
    set: fc.dictionary(name, value, {maxKeys: 2}),
    add: fc.dictionary(name, value, {maxKeys: 2}),
    remove: fc.uniqueArray(name, {maxLength: 2}),
  })
  .filter(({set, remove}) => remove.every((one) => !Object.hasOwn(set, one)));

test('Envoy ends with the fields that the other enforcement point would send', () => {
  fc.assert(
    fc.property(lines, mutations, (before, change) => {
      expect(joined(envoy(before, changesOf(change, before)))).toEqual(joined(mutated(before, change)));
    }),
  );
});

test('the difference of two lists of fields makes one of the other', () => {
  fc.assert(
    fc.property(lines, lines, (before, after) => {
      expect(joined(envoy(before, difference(before, after)))).toEqual(joined(after));
    }),
  );
});
