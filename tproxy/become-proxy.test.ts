import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect, test} from '@jest/globals';
import {becoming, setprivFile} from './become-proxy.ts';

test('a pod’s proxy is another user with raw sockets alone, and can never be more', () => {
  expect(becoming(['node', 'main'])).toEqual([
    ...['setpriv', '--reuid=15080', '--regid=15080', '--keep-groups', '--no-new-privs', '--inh-caps=-all,+net_raw'],
    ...['--ambient-caps=-all,+net_raw', '--bounding-set=-all,+net_raw', '--', 'node', 'main'],
  ]);
});

test('who becomes it is the one of our image, whatever the environment names', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-path-'));
  const before = process.env['PATH'];
  try {
    writeFileSync(join(folder, 'setpriv'), '#!/bin/sh\n', {mode: 0o755});
    process.env['PATH'] = folder;
    expect(setprivFile()).toMatch(/^(\/usr)?\/s?bin\/setpriv$/);
  } finally {
    process.env['PATH'] = before;
    rmSync(folder, {recursive: true});
  }
});
