/** Tests that need root or a real component: a printed skip on a user's machine, a failure in CI. */
import {spawnSync} from 'node:child_process';
import {test} from '@jest/globals';
import {labTests} from './privileges.ts';

/** `test` where the lab and the commands are there; `test.skip` with a printed reason where not; in CI it fails then. */
export function labTest(...commands: readonly string[]): typeof test {
  const missing = commands
    .filter((command) => spawnSync('sh', ['-c', `command -v ${command}`]).status !== 0)
    .join(', ');
  if (missing === '') return labTests(test);
  if (process.env['CI'] !== undefined) throw new Error(`CI lacks ${missing}: cli/setup.mjs has to install it`);
  process.stderr.write(`skip: needs ${missing}\n`);
  return test.skip as unknown as typeof test;
}
