import {mkdtempSync, rmSync, symlinkSync, renameSync, mkdirSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, test} from '@jest/globals';
import {watchPaths} from './watch.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-watch-'));
});
afterEach(() => rmSync(dir, {recursive: true}));

/** Watches, lets the first look happen, makes the change, and resolves once it was seen. */
async function seen(paths: string[], change: () => void): Promise<void> {
  await new Promise<void>((resolve) => {
    const watch = watchPaths(paths, () => {
      watch.close();
      clearInterval(again);
      resolve();
    });
    // The change is repeated with new content until it is seen: the watcher's first look may be later than the first change.
    const again = setInterval(change, 20);
  });
}
let n = 0;
const content = (): string => 'x'.repeat(++n);

test('a file of a watched directory that is written is seen', async () => {
  writeFileSync(join(dir, 'a.yaml'), 'a');
  await seen([dir], () => writeFileSync(join(dir, 'a.yaml'), content()));
});
test('a watched file that is replaced by another, as editors do, is seen', async () => {
  writeFileSync(join(dir, 'a.yaml'), 'a');
  await seen([join(dir, 'a.yaml')], () => {
    writeFileSync(join(dir, 'new'), content());
    renameSync(join(dir, 'new'), join(dir, 'a.yaml'));
  });
});
test('the symlink swap of a ConfigMap volume is seen', async () => {
  const swap = (): void => {
    const version = `..${n}`;
    mkdirSync(join(dir, version), {recursive: true});
    writeFileSync(join(dir, version, 'a.yaml'), content());
    symlinkSync(version, join(dir, '..tmp'));
    renameSync(join(dir, '..tmp'), join(dir, '..data'));
  };
  swap();
  symlinkSync('..data/a.yaml', join(dir, 'a.yaml'));
  await seen([dir], swap);
});
test('a path that is not there yet is seen when it comes', async () => {
  await seen([join(dir, 'later')], () => writeFileSync(join(dir, 'later'), content()));
});
