import {mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect, test} from '@jest/globals';
import {versionOf} from './version.ts';

test('the version of a command is its package’s, also by a link, and of no other package', () => {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-version-'));
  try {
    mkdirSync(join(dir, 'package/cli'), {recursive: true});
    mkdirSync(join(dir, 'bin'));
    writeFileSync(join(dir, 'package/package.json'), '{"name":"sallyport","version":"1.2.3"}');
    writeFileSync(join(dir, 'package/cli/sallyport.mjs'), '');
    writeFileSync(join(dir, 'package.json'), '{"name":"another","version":"9.9.9"}');
    symlinkSync('../package/cli/sallyport.mjs', join(dir, 'bin/sallyport'));
    expect(versionOf(join(dir, 'package/cli/sallyport.mjs'))).toBe('1.2.3');
    expect(versionOf(join(dir, 'bin/sallyport'))).toBe('1.2.3');
    expect(versionOf(join(dir, 'bin/other'))).toBeNull();
  } finally {
    rmSync(dir, {recursive: true});
  }
});
