/** Tests that need istiod. */
import type {test} from '@jest/globals';
import {ENVOY_VERSIONS} from '../envoy/index.ts';
import {envoyTest} from '../envoy/require.ts';
import {istioProgram} from './binaries.ts';

/** `test` where a lab, Envoy, istiod and the commands are there; a printed skip where not; in CI an error. */
export function meshTest(...commands: readonly string[]): typeof test {
  const run = envoyTest(ENVOY_VERSIONS[0]!, 'curl', 'nft', 'setpriv', ...commands);
  if (istioProgram('pilot-discovery') !== null && istioProgram('istioctl') !== null) return run;
  if (process.env['CI'] !== undefined) throw new Error('CI lacks istiod: node cli/setup.mjs mesh has to build it');
  process.stderr.write('skip: needs istiod (npm run test:mesh builds it)\n');
  return run.skip as unknown as typeof test;
}
