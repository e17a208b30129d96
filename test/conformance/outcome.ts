/** What came of one step on one target, and how it is told. */
import type {Case, Step, TargetName} from './format/case.ts';
import {compare, problems, type Scope} from './compare.ts';
import {flips} from './flips.ts';
import {isFor, type Known, type KnownDifference} from './known.ts';
import type {Observation} from './observation.ts';

export type Outcome =
  | {readonly kind: 'ok'; readonly known: KnownDifference | null}
  | {readonly kind: 'FAIL'; readonly problems: readonly string[]; readonly notes: readonly string[]}
  /** `listed`: by the format's own rules, or by the file of known skips. */
  | {readonly kind: 'skip'; readonly why: string; readonly listed: boolean};

export interface Report {
  readonly case: string;
  readonly step: string;
  readonly target: TargetName;
  readonly outcome: Outcome;
  /** For -v. */
  readonly notes: readonly string[];
  readonly durationMs: number;
}

/** Judges an observation. A difference that is listed is no FAIL, where it touches nothing else. */
export function judgeStep(
  world: Case,
  step: Step,
  target: TargetName,
  scope: Scope,
  seen: Observation,
  known: Known,
): Outcome {
  const checks = compare(step.expect, seen, scope);
  const wrong = checks.filter(({problem}) => problem !== null);
  if (wrong.length > 0) {
    const difference = known.differences.find((entry) => isFor(entry, world.name, step.name, target));
    const tolerated = (field: string): boolean =>
      difference?.fields.some((one) => field === one || field.startsWith(`${one}.`)) ?? false;
    if (difference !== undefined && wrong.every(({field}) => tolerated(field))) return {kind: 'ok', known: difference};
    return {kind: 'FAIL', problems: problems(checks), notes: seen.notes};
  }
  if (checks.length === 0) return {kind: 'skip', why: `nothing that the target ${target} checks`, listed: true};
  return {kind: 'ok', known: null};
}

/** The self-test of one step that passed: the flips that did not FAIL, and how many there were. */
export function judgeFlips(
  world: Case,
  step: Step,
  scope: Scope,
  seen: Observation,
): {readonly count: number; readonly survivors: readonly string[]} {
  const checked = new Set(compare(step.expect, seen, scope).map(({field}) => field));
  const all = flips(
    step.expect,
    world.servers.map((server) => server.name),
  );
  const survivors: string[] = [];
  let count = 0;
  for (const flip of all) {
    if (!checked.has(flip.field)) {
      // Where there are sockets, an expectation that nobody looks at is one that cannot fail.
      if (scope.network) {
        count++;
        survivors.push(`${flip.field} is never checked`);
      }
      continue;
    }
    count++;
    if (problems(compare(flip.expect, seen, scope)).length === 0) {
      survivors.push(`${flip.field} turned round still passes: ${JSON.stringify(flip.expect)}`);
    }
  }
  return {count, survivors};
}

/** One line a step, and the difference below it. */
export function reportLines(report: Report, verbose: boolean): string[] {
  const {outcome} = report;
  const head = `${outcome.kind.padEnd(4)}  ${report.case} / ${report.step}  (${report.target})`;
  const indented = (lines: readonly string[]): string[] =>
    lines.flatMap((line) => line.split('\n')).map((line) => `      ${line}`);
  switch (outcome.kind) {
    case 'ok': {
      const known =
        outcome.known === null
          ? ''
          : `: known difference in ${outcome.known.fields.join(', ')}: ${outcome.known.reason}`;
      return [
        `${head}${known}`,
        ...(verbose ? indented([...report.notes, `${Math.round(report.durationMs)} ms`]) : []),
      ];
    }
    case 'FAIL':
      return [head, ...indented([...outcome.problems, ...outcome.notes.map((note) => `| ${note}`)])];
    case 'skip':
      return [`${head}: ${outcome.why}${outcome.listed ? '' : ' [not listed]'}`];
  }
}
