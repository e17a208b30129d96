/** A chosen set of the conformance cases in a mesh; all of them: `npm run conformance -- --target istio`, ten minutes. */
import {spawn} from 'node:child_process';
import {describe, expect} from '@jest/globals';
import {meshTest} from './require.ts';

/** What tells a mesh from tproxy: where the client dialled, names that disagree, bytes of any kind, parents. */
const CASES = ['dialled', 'names-disagree', 'opaque-tcp', 'parent-proxy'];
/** Far above what they take on two busy cores. */
const LIMIT_MS = 400_000;

describe('a mesh decides as everybody else does', () => {
  const it = meshTest('openssl', 'curl');
  it.each([
    ['istio', 30],
    ['istio-sidecar', 5],
  ])(
    '%s: chosen cases of conformance',
    async (target, atLeast) => {
      const {code, said} = await run(['--target', target, ...CASES.flatMap((name) => ['--case', name])]);
      const wrong = said.split('\n').filter((line) => !/^(ok|skip) /.test(line));
      expect([code, wrong.join('\n')]).toEqual([0, expect.stringMatching(/ 0 failed, /)]);
      expect(Number(/^(\d+) passed/m.exec(said)![1])).toBeGreaterThanOrEqual(atLeast);
    },
    LIMIT_MS + 10_000,
  );
});

function run(args: readonly string[]): Promise<{code: number | null; said: string}> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['test/conformance/main.ts', ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: LIMIT_MS,
    });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.on('error', reject);
    child.on('close', (code) => resolve({code, said}));
  });
}
