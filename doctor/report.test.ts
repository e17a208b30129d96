import {describe, expect, test} from '@jest/globals';
import type {Row} from './check.ts';
import {blind, fail, grave, minor, ok, verdictOf, warn, type Outcome} from './outcome.ts';
import {exitCode, reportJson, reportText} from './report.ts';
import {runChecks, type Check} from './check.ts';
import {SallyportError} from '../runtime/errors.ts';

const row = (outcome: Outcome): Row => ({check: 'node.x', looks: 'the thing', outcome});

describe('the exit code', () => {
  test.each<[string, Outcome[], number]>([
    ['all is well', [ok('a'), ok('b')], 0],
    ['a warning is a finding', [ok('a'), warn('b', 'c')], 1],
    ['a failure is one', [fail('b', 'c'), ok('a')], 1],
    ['what could not look proves nothing', [ok('a'), blind('b', 'c')], 1],
    ['nothing could look', [blind('a', ''), blind('b', '')], 3],
    ['nothing was asked for', [], 3],
  ])('%s', (_, outcomes, code) => {
    expect(exitCode(outcomes.map(row))).toBe(code);
  });
});

describe('the report', () => {
  test('one line a check, with the fix, and what could not look is a FAIL that says so', () => {
    expect(
      reportText([
        row(ok('fine')),
        row(warn('soon', 'Renew it.')),
        row(fail('gone', 'Bring it.')),
        row(blind('no', '')),
      ]),
    ).toBe(
      [
        'ok    node.x  the thing: fine.',
        'warn  node.x  the thing: soon. Fix: Renew it.',
        'FAIL  node.x  the thing: gone. Fix: Bring it.',
        'FAIL  node.x  the thing: could not look: no.',
        '1 ok, 1 warning, 2 failed\n',
      ].join('\n'),
    );
  });
  test('what others wrote cannot draw on the terminal', () => {
    const text = reportText([row(fail('a\u001b[2Jb\nok    node.y  forged', 'c'))]);
    expect(text).not.toContain('\u001b');
    expect(text).not.toContain('\nok');
  });
  test('as JSON, with verdicts as words', () => {
    expect(JSON.parse(reportJson([row(blind('no', 'Go.'))]))).toEqual({
      ok: false,
      checks: [{check: 'node.x', verdict: 'FAIL', looked: false, looks: 'the thing', found: 'no', fix: 'Go.'}],
    });
  });
});

describe('problems of one check', () => {
  test('none is ok', () => expect(verdictOf([], 'good')).toEqual(ok('good')));
  test('the gravest decides and comes first, each fix once, many are counted', () => {
    const problems = [minor('m', 'F.'), grave('g1', 'F.'), grave('g2', 'G.'), minor('n', 'H.')];
    expect(verdictOf(problems, '')).toEqual(fail('g1; g2; m; and 1 more', 'F. G.'));
    expect(verdictOf([minor('m', 'F.')], '')).toEqual(warn('m', 'F.'));
  });
});

describe('checks', () => {
  const check = (name: string, run: Check<null>['run']): Check<null> => ({name, looks: '', run});
  test('one that throws, or that never answers, does not end the others', async () => {
    const rows = await runChecks(
      [
        check('a', async () => {
          throw new SallyportError('X', 'no way', 'Go.');
        }),
        check('b', () => new Promise(() => {})),
        check('c', async () => ok('c')),
        check('d', async () => ok('d')),
      ],
      null,
      new Set(['d']),
      1,
    );
    expect(rows.map(({check, outcome}) => [check, outcome.kind, outcome.found])).toEqual([
      ['a', 'blind', 'no way'],
      ['b', 'blind', 'no answer within 0.001 s'],
      ['c', 'ok', 'c'],
    ]);
  });
});
