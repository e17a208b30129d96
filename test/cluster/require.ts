/** Tests that need a real API server: a printed skip where it is not built, a failure in CI. */
import {test} from '@jest/globals';
import {programPath, type Program} from './binaries.ts';

const NEEDED: readonly Program[] = ['kube-apiserver', 'etcd', 'kubectl'];

/** `test` where the programs are built; `test.skip` with a printed reason where not; in CI it fails then. */
export function clusterTest(...more: readonly Program[]): typeof test {
  const missing = [...NEEDED, ...more].filter((name) => programPath(name) === null);
  if (missing.length === 0) return test;
  if (process.env['CI'] !== undefined)
    throw new Error(`CI lacks ${missing.join(', ')}: node cli/setup.mjs cluster builds them`);
  process.stderr.write(`skip: needs ${missing.join(', ')} (node cli/setup.mjs cluster builds them)\n`);
  return test.skip as unknown as typeof test;
}
