import {describe, expect, test} from '@jest/globals';
import {differences} from './plan.ts';

describe('what differs', () => {
  test.each([
    ['nothing', {a: [1, {b: 'x'}]}, {a: [1, {b: 'x'}]}, []],
    ['a value', {spec: {priority: 10}}, {spec: {priority: 5}}, ['spec.priority: 10 -> 5']],
    ['an entry of a list', {ports: [{number: 80}]}, {ports: [{number: 81}]}, ['ports[0].number: 80 -> 81']],
    ['an entry more', {a: ['x']}, {a: ['x', 'y']}, ['a[1]: absent -> "y"']],
    ['a field less', {a: 1, b: {c: 2}}, {a: 1}, ['b: {"c":2} -> absent']],
    ['a list where a mapping was', {a: {}}, {a: []}, ['a: {} -> []']],
    ['null', {a: null}, {a: {}}, ['a: null -> {}']],
  ])('%s', (_what, before, after, lines) => {
    expect(differences(before, after)).toEqual(lines);
  });
});
