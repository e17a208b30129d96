/** Every case of test/conformance/cases on the pure decision, a test a step: the quickest proof that a rule means what it says. */
import {join} from 'node:path';
import {describe, expect, test} from '@jest/globals';
import {readCases} from './format/read.ts';
import {NOTHING_KNOWN} from './known.ts';
import {runCase} from './run.ts';
import {policyTarget} from './targets/policy/target.ts';

const cases = readCases([join(import.meta.dirname, 'cases')]);
const options = {known: NOTHING_KNOWN, selfTest: false, keep: false, stepText: null, say: () => {}, done: () => {}};

for (const world of cases) {
  const reports = await runCase(world, policyTarget, options);
  const judged = reports.filter(({outcome}) => outcome.kind !== 'skip');
  if (judged.length === 0) continue;
  describe(world.name, () => {
    test.each(judged)('$step', ({outcome}) => {
      expect(outcome.kind === 'FAIL' ? outcome.problems : []).toEqual([]);
    });
  });
}

test('no case is empty for want of a reader', () => expect(cases.length).toBeGreaterThanOrEqual(24));
