/** `npm run conformance`: docs/CONFORMANCE.md. */
import {existsSync} from 'node:fs';
import {join, relative} from 'node:path';
import {parseArgs} from 'node:util';
import type {Case} from './format/case.ts';
import {CaseError} from './format/cursor.ts';
import {readCases} from './format/read.ts';
import {NOTHING_KNOWN, readKnown, isFor, type Known} from './known.ts';
import {reportLines, type Report} from './outcome.ts';
import {runAll} from './run.ts';
import {TARGETS} from './targets/index.ts';

const USAGE = `npm run conformance -- [--cases DIR|FILE]... [--target NAME]... [--case NAME]... [--step TEXT] [--self-test]
                       [--known FILE] [--keep] [-v]
  --cases      folders or files of cases; default: test/conformance/cases
  --target     ${TARGETS.map(({name}) => name).join(' or ')}; default: all of them but those of Istio
  --case       only cases of this name
  --step       only steps whose name holds this text (and what they build on)
  --self-test  turn every expectation round, one at a time, and require each to FAIL
  --known      the file of known differences and listed skips; default: test/conformance/known.yaml
  --keep       leave the files of each world behind, and say where
  -v           say what was seen of every step`;

const here = import.meta.dirname;

async function main(): Promise<number> {
  let flags;
  try {
    flags = parseArgs({
      options: {
        cases: {type: 'string', multiple: true},
        target: {type: 'string', multiple: true},
        case: {type: 'string', multiple: true},
        step: {type: 'string'},
        'self-test': {type: 'boolean', default: false},
        known: {type: 'string'},
        keep: {type: 'boolean', default: false},
        verbose: {type: 'boolean', short: 'v', default: false},
        help: {type: 'boolean', short: 'h', default: false},
      },
    }).values;
  } catch (error) {
    return usage((error as Error).message);
  }
  if (flags.help) {
    console.log(USAGE);
    return 0;
  }
  const unknown = flags.target?.find((name) => !TARGETS.some((target) => target.name === name));
  if (unknown !== undefined)
    return usage(`unknown target ${unknown}: there are ${TARGETS.map(({name}) => name).join(' and ')}`);
  const targets = TARGETS.filter(({name, onlyNamed}) => flags.target?.includes(name) ?? onlyNamed !== true);
  const missing = flags.cases?.find((path) => !existsSync(path));
  if (missing !== undefined) return usage(`--cases ${missing}: there is nothing`);

  let cases: readonly Case[];
  let known: Known;
  try {
    cases = readCases(flags.cases ?? [join(here, 'cases')]);
    const file = flags.known ?? join(here, 'known.yaml');
    known = flags.known !== undefined || existsSync(file) ? readKnown(file) : NOTHING_KNOWN;
  } catch (error) {
    if (!(error instanceof CaseError)) throw error;
    for (const problem of error.problems) console.log(relativePath(problem));
    console.log(`0 passed, ${error.problems.length} failed, 0 skipped`);
    return 1;
  }
  if (flags.case !== undefined) {
    const absent = flags.case.find((name) => !cases.some((one) => one.name === name));
    if (absent !== undefined) return usage(`--case ${absent}: there is no such case`);
    cases = cases.filter(({name}) => flags.case!.includes(name));
  }
  if (cases.length === 0) return usage('there are no cases');

  const reports: Report[] = [];
  await runAll(cases, targets, {
    known,
    selfTest: flags['self-test'],
    keep: flags.keep,
    stepText: flags.step ?? null,
    say: (text) => flags.verbose && console.log(`      ${text}`),
    done(some) {
      reports.push(...some);
      for (const line of flags['self-test']
        ? selfTestLines(some)
        : some.flatMap((one) => reportLines(one, flags.verbose)))
        console.log(line);
    },
  });
  if (reports.length === 0) return usage(`--step ${flags.step ?? ''}: no step has this in its name`);
  const whole = flags.case === undefined && flags.step === undefined && !flags['self-test'];
  return conclude(reports, known, whole, flags.target !== undefined || Boolean(process.env['CI']));
}

/** The last lines and the exit code. `strict`: a target that cannot run here is a failure, not only a skip. */
function conclude(reports: readonly Report[], known: Known, whole: boolean, strict: boolean): number {
  const count = (kind: Report['outcome']['kind']): number =>
    reports.filter(({outcome}) => outcome.kind === kind).length;
  const unlisted = reports.filter(({outcome}) => outcome.kind === 'skip' && !outcome.listed);
  if (unlisted.length > 0) {
    const whys = new Set(unlisted.map(({outcome}) => (outcome.kind === 'skip' ? outcome.why : '')));
    console.log(
      `${unlisted.length} skips are not listed${strict ? ', which is a failure' : ''}: ${[...whys].join('; ')}`,
    );
  }
  const stale = whole ? staleEntries(reports, known) : [];
  for (const line of stale) console.log(line);
  console.log(`${count('ok')} passed, ${count('FAIL')} failed, ${count('skip')} skipped`);
  return count('FAIL') > 0 || (strict && unlisted.length > 0) || stale.length > 0 ? 1 : 0;
}

/** Differences that were listed and did not show: the list says what is, not what was. */
function staleEntries(reports: readonly Report[], known: Known): string[] {
  return known.differences.flatMap((entry) => {
    const report = reports.find((one) => isFor(entry, one.case, one.step, one.target));
    if (report === undefined || report.outcome.kind !== 'ok' || report.outcome.known !== null) return [];
    return [
      `the known difference of ${entry.case} / ${entry.step} (${entry.target}) is gone: remove it from the list (line ${entry.line})`,
    ];
  });
}

/** In the self-test a step has one outcome a flip: told as one line. */
function selfTestLines(reports: readonly Report[]): string[] {
  const lines: string[] = [];
  for (const group of Object.values(Object.groupBy(reports, ({step, target}) => `${target} ${step}`))) {
    const [first] = group!;
    const bad = group!.filter(({outcome}) => outcome.kind === 'FAIL');
    const head = `${first!.case} / ${first!.step}  (${first!.target})`;
    if (first!.outcome.kind === 'skip') lines.push(...reportLines(first!, false));
    else if (bad.length === 0) lines.push(`ok    ${head}: each of ${group!.length} flips fails`);
    else lines.push(...bad.flatMap((one) => reportLines(one, false)));
  }
  return lines;
}

const relativePath = (problem: string): string =>
  problem.startsWith('/') ? relative(process.cwd(), problem) : problem;

function usage(message: string): number {
  console.error(`${message}\n\n${USAGE}`);
  return 2;
}

// Each Envoy of the worlds that stand takes its files away where this process ends: one a pod in a mesh.
const MAX_PARTS = 64;
process.setMaxListeners(MAX_PARTS);
process.exitCode = await main();
