/** That every mutant can be made: its text is where it was. Whether a test notices it says `npm run mutants`. */
import {existsSync, readFileSync} from 'node:fs';
import {expect, test} from '@jest/globals';
import {MUTANTS} from './mutants.ts';

test.each(MUTANTS)(
  '$name: its text stands exactly once in $file, and its tests exist',
  ({file, find, replace, tests}) => {
    expect(readFileSync(file, 'utf8').split(find)).toHaveLength(2);
    expect(replace).not.toBe(find);
    expect(tests.filter((path) => !existsSync(path))).toEqual([]);
  },
);

test('no two have one name', () => {
  const names = MUTANTS.map(({name}) => name);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});

test('docs/MUTANTS.md has them all, and none that is gone (npm run mutants -- --markdown docs/MUTANTS.md)', () => {
  const rows = readFileSync('docs/MUTANTS.md', 'utf8').matchAll(/^\| (?<name>.*?) \| /gm);
  const documented = [...rows].map(({groups}) => groups!['name']!).filter((name) => name !== 'The broken program:');
  expect(documented.sort()).toEqual(MUTANTS.map(({name}) => name).sort());
});
