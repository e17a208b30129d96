import {mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {buildOnce, cacheFolder} from './go-programs.ts';

let dir: string;
let done: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-go-'));
  done = join(dir, 'done');
});
afterEach(() => rmSync(dir, {recursive: true, force: true}));

const write = (into: string): void => writeFileSync(join(into, 'program'), 'ours');

describe('what is built', () => {
  test('has its name only when it is whole', () => {
    buildOnce(done, (into) => {
      write(into);
      expect(readdirSync(dir)).not.toContain('done');
    });
    expect(readdirSync(dir)).toEqual(['done']);
  });

  test('is not built again', () => {
    buildOnce(done, write);
    buildOnce(done, () => {
      throw new Error('built again');
    });
  });

  test('leaves nothing where it fails, and the reason is told', () => {
    const fail = (into: string): void => {
      write(into);
      throw new Error('no network');
    };
    expect(() => buildOnce(done, fail)).toThrow('no network');
    expect(readdirSync(dir)).toEqual([]);
  });

  test('gives way to what somebody else has built meanwhile', () => {
    buildOnce(done, (into) => {
      write(into);
      mkdirSync(done);
      writeFileSync(join(done, 'program'), 'theirs');
    });
    expect(readdirSync(dir)).toEqual(['done']);
    expect(readFileSync(join(done, 'program'), 'utf8')).toBe('theirs');
  });
});

test('other pins, or another list of programs, are another folder', () => {
  const pins = (sum: string): void => {
    writeFileSync(join(dir, 'go.mod'), 'module a\n');
    writeFileSync(join(dir, 'go.sum'), sum);
  };
  pins('one');
  const first = cacheFolder(dir, 'a', ['x']);
  expect(cacheFolder(dir, 'a', ['x'])).toBe(first);
  expect(cacheFolder(dir, 'a', ['x', 'y'])).not.toBe(first);
  pins('two');
  expect(cacheFolder(dir, 'a', ['x'])).not.toBe(first);
});
