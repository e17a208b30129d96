import {chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, expect, test} from '@jest/globals';
import {isOursAlone} from './code-cache.ts';

let home: string;
let folder: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'sallyport-cache-'));
  folder = join(home, 'sallyport', 'code');
  mkdirSync(folder, {recursive: true, mode: 0o700});
});
afterEach(() => rmSync(home, {recursive: true}));

test('a folder of ours in folders of ours is used', () => expect(isOursAlone(folder)).toBe(true));
test.each([
  ['the folder', () => folder],
  ['the one above it', () => join(home, 'sallyport')],
  ['the cache home', () => home],
])('one that others can write is not: %s', (_, path) => {
  chmodSync(path(), 0o777);
  expect(isOursAlone(folder)).toBe(false);
});
test('a link to somewhere else is not', () => {
  rmSync(folder, {recursive: true});
  symlinkSync(tmpdir(), folder);
  expect(isOursAlone(folder)).toBe(false);
});
test('one that is not there is an error, which the caller takes for no cache', () => {
  expect(() => isOursAlone(join(home, 'nowhere', 'code'))).toThrow(/ENOENT/);
});
