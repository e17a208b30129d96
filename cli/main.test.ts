/** The command as a process. */
import {spawnSync} from 'node:child_process';
import {join} from 'node:path';
import {expect, test} from '@jest/globals';

const MAIN = join(import.meta.dirname, 'main.ts');

test('a role that cannot start ends with its exit code, whatever it had begun before', () => {
  // What a reflector leaves behind when its role fails: a timer that nobody clears.
  const script = `setInterval(() => {}, 1000); process.argv[1] = ${JSON.stringify(MAIN)}; await (await import(${JSON.stringify(MAIN)})).runProcess();`;
  const {status, stderr, error} = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', script, 'main', 'check', '-f', '/nowhere/at/all.yaml'],
    {encoding: 'utf8', timeout: 60_000},
  );
  expect(error).toBeUndefined();
  expect(stderr).toContain('/nowhere/at/all.yaml');
  expect(status).toBe(3);
});
