/** Runs cases on targets: worlds side by side, the steps of one world in their order. */
import type {Case, Step} from './format/case.ts';
import {isFor, type Known} from './known.ts';
import {judgeFlips, judgeStep, type Outcome, type Report} from './outcome.ts';
import type {Observation, Sighting} from './observation.ts';
import type {Target, TargetWorld} from './targets/target.ts';

export interface RunOptions {
  readonly known: Known;
  readonly selfTest: boolean;
  readonly keep: boolean;
  /** Only steps whose name holds this; null: all. */
  readonly stepText: string | null;
  readonly say: (text: string) => void;
  /** The reports of one case, when it is done. */
  readonly done: (reports: readonly Report[]) => void;
}

/** Every case on every target; reports come case by case in the order in which they end. */
export async function runAll(cases: readonly Case[], targets: readonly Target[], options: RunOptions): Promise<void> {
  for (const target of targets) {
    const waiting = [...cases];
    const lane = async (): Promise<void> => {
      for (let world = waiting.shift(); world !== undefined; world = waiting.shift())
        options.done(await runCase(world, target, options));
    };
    await Promise.all(Array.from({length: target.parallel}, lane));
  }
}

/** The steps that a selection needs: those named, and what they build on (documents, and their kept connections). */
export function selectedSteps(world: Case, text: string | null): {readonly step: Step; readonly reported: boolean}[] {
  const named = (step: Step): boolean => text === null || step.name.includes(text);
  const last = world.steps.findLastIndex(named);
  const connections = new Set(
    world.steps
      .filter(named)
      .flatMap(({action}) => (action.kind === 'request' && action.connection !== null ? [action.connection] : [])),
  );
  return world.steps.slice(0, last + 1).flatMap((step): {readonly step: Step; readonly reported: boolean}[] => {
    if (named(step)) return [{step, reported: true}];
    const {action} = step;
    const needed =
      action.kind === 'apply' ||
      (action.kind === 'request' && action.connection !== null && connections.has(action.connection));
    return needed ? [{step, reported: false}] : [];
  });
}

interface Run {
  readonly step: Step;
  readonly reported: boolean;
  readonly skip: Outcome | null;
}

function plan(world: Case, target: Target, options: RunOptions): Run[] {
  return selectedSteps(world, options.stepText).map(({step, reported}) => ({
    step,
    reported,
    skip: skipped(world, step, target, options.known),
  }));
}

function skipped(world: Case, step: Step, target: Target, known: Known): Outcome | null {
  if (step.targets !== null && !step.targets.includes(target.name))
    return {kind: 'skip', why: `for ${step.targets.join(', ')}`, listed: true};
  const listed = known.skips.find((entry) => isFor(entry, world.name, step.name, target.name));
  if (listed !== undefined) return {kind: 'skip', why: listed.reason, listed: true};
  const cannot = target.unavailable();
  if (cannot !== null) return {kind: 'skip', why: `the target ${target.name} needs ${cannot}`, listed: false};
  const senseless = target.skips(step, world);
  return senseless === null ? null : {kind: 'skip', why: senseless, listed: true};
}

export async function runCase(world: Case, target: Target, options: RunOptions): Promise<Report[]> {
  const runs = plan(world, target, options);
  const report = (step: Step, outcome: Outcome, notes: readonly string[] = [], durationMs = 0): Report => ({
    case: world.name,
    step: step.name,
    target: target.name,
    outcome,
    notes,
    durationMs,
  });
  const reports: Report[] = [];
  let standing: TargetWorld | null = null;
  let broken: string | null = null;
  try {
    if (runs.some(({skip}) => skip === null))
      standing = await target.open(world, {keep: options.keep, say: options.say});
  } catch (error) {
    broken = `the world could not be set up: ${error instanceof Error ? error.message : String(error)}`;
  }
  try {
    for (const {step, reported, skip} of runs) {
      if (skip !== null) {
        if (reported) reports.push(report(step, skip));
        continue;
      }
      if (standing === null) {
        if (reported) reports.push(report(step, {kind: 'FAIL', problems: [broken ?? 'no world'], notes: []}));
        continue;
      }
      const startedAt = performance.now();
      const seen = await observe(standing, step);
      const durationMs = performance.now() - startedAt;
      if (typeof seen === 'string') {
        if (reported) reports.push(report(step, {kind: 'FAIL', problems: [seen], notes: []}, [], durationMs));
        continue;
      }
      if (!reported) continue;
      const outcome = judgeStep(world, step, target.name, target.scope, seen, options.known);
      const judged = options.selfTest ? selfTested(world, step, target, seen, outcome) : [outcome];
      for (const one of judged) reports.push(report(step, one, seen.notes, durationMs));
    }
  } finally {
    await standing?.close();
  }
  return reports;
}

/** A step's observation with what servers saw of it until now; a text: the lab itself failed. */
async function observe(standing: TargetWorld, step: Step): Promise<Observation | string> {
  try {
    const seen = await standing.run(step);
    const late: readonly Sighting[] = standing.late();
    return late.length === 0 ? seen : {...seen, sightings: [...(seen.sightings ?? []), ...late]};
  } catch (error) {
    return `the runner failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  }
}

/** One outcome a flip, so that the counts say how many were tried. A step that does not pass proves nothing. */
function selfTested(world: Case, step: Step, target: Target, seen: Observation, outcome: Outcome): Outcome[] {
  if (outcome.kind !== 'ok' || outcome.known !== null) return [outcome];
  const {count, survivors} = judgeFlips(world, step, target.scope, seen);
  return [
    ...Array.from({length: count - survivors.length}, () => outcome),
    ...survivors.map((survivor): Outcome => ({kind: 'FAIL', problems: [survivor], notes: []})),
  ];
}
