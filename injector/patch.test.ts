import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {applied} from './patch-applied.ts';
import {patchOf, type Operation} from './patch.ts';

describe('what the patch says', () => {
  const named = (...names: string[]): object[] => names.map((name) => ({name}));
  test.each<[string, unknown, unknown, Operation[]]>([
    ['nothing for the same', {a: [1, {b: 2}]}, {a: [1, {b: 2}]}, []],
    ['a new field is added', {a: 1}, {a: 1, b: {c: 2}}, [{op: 'add', path: '/b', value: {c: 2}}]],
    ['a field that is gone is removed', {a: 1, b: 2}, {a: 1}, [{op: 'remove', path: '/b'}]],
    ['a value is replaced', {a: 1}, {a: 2}, [{op: 'replace', path: '/a', value: 2}]],
    [
      'a key with a slash and a tilde is escaped (RFC 6901 §3)',
      {annotations: {}},
      {annotations: {'a/b~c': 'x'}},
      [{op: 'add', path: '/annotations/a~1b~0c', value: 'x'}],
    ],
    ['a list without names grows at its end', [1], [1, 2], [{op: 'add', path: '/-', value: 2}]],
    [
      'a list without names shrinks from its end',
      [1, 2, 3],
      [1],
      [
        {op: 'remove', path: '/2'},
        {op: 'remove', path: '/1'},
      ],
    ],
    [
      'a named entry in front moves the others, and they are left alone',
      named('app'),
      named('first', 'app'),
      [{op: 'add', path: '/0', value: {name: 'first'}}],
    ],
    [
      'a named entry is changed where it stands afterwards',
      [{name: 'app', v: 1}],
      [{name: 'first'}, {name: 'app', v: 2}],
      [
        {op: 'add', path: '/0', value: {name: 'first'}},
        {op: 'replace', path: '/1/v', value: 2},
      ],
    ],
    [
      'a key that every object of the language has is one like others',
      {},
      {constructor: 'x'},
      [{op: 'add', path: '/constructor', value: 'x'}],
    ],
    ['nothing for the same list with one name twice', named('a', 'a'), named('a', 'a'), []],
    [
      'a list with one name twice is replaced as it is',
      named('a', 'a'),
      named('first', 'a', 'a'),
      [{op: 'replace', path: '', value: named('first', 'a', 'a')}],
    ],
    [
      'two named entries that change places are one new list',
      named('a', 'b'),
      named('b', 'a'),
      [{op: 'replace', path: '', value: named('b', 'a')}],
    ],
  ])('%s', (_title, before, after, expected) => {
    expect(patchOf(before, after)).toEqual(expected);
  });
});

test('applied to what was, it gives what is', () => {
  const entry = fc.record({name: fc.constantFrom('a', 'b', 'c', 'd'), env: fc.array(fc.integer(), {maxLength: 3})});
  const pod = fc.record(
    {
      list: fc.oneof(fc.uniqueArray(entry, {selector: ({name}) => name}), fc.array(fc.integer(), {maxLength: 4})),
      map: fc.dictionary(
        fc.constantFrom('x', 'y/z', '~'),
        fc.oneof(fc.integer(), fc.constant({k: 1}), fc.constant(null)),
      ),
    },
    {requiredKeys: []},
  );
  fc.assert(fc.property(pod, pod, (before, after) => expect(applied(before, patchOf(before, after))).toEqual(after)));
});
