import {execFileSync} from 'node:child_process';
import {mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, expect, test} from '@jest/globals';
import {readRegularFile} from './regular-file.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-file-'));
});
afterEach(() => rmSync(dir, {recursive: true}));

test('a file is read, through a link too', () => {
  writeFileSync(join(dir, 'file'), 'text');
  symlinkSync('file', join(dir, 'link'));
  expect([readRegularFile(join(dir, 'file')), readRegularFile(join(dir, 'link'))]).toEqual(['text', 'text']);
});

test.each([
  ['a pipe that nobody writes to', (path: string) => void execFileSync('mkfifo', [path])],
  ['a device', (path: string) => symlinkSync('/dev/zero', path)],
  ['a folder', (path: string) => symlinkSync('/', path)],
])('%s is not waited for: it is no regular file', (_, make) => {
  make(join(dir, 'it'));
  expect(() => readRegularFile(join(dir, 'it'))).toThrow(/is no regular file|EISDIR/);
});

test('a file without end is refused before it is read', () => {
  writeFileSync(join(dir, 'large'), '');
  truncateSync(join(dir, 'large'), 300 * 1024 * 1024);
  expect(() => readRegularFile(join(dir, 'large'))).toThrow(/has 314572800 bytes, more than/);
});
