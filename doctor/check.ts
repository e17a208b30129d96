/** A check, and how a list of them is run: one after the other, each within its time, none able to end the others. */
import {SallyportError} from '../runtime/errors.ts';
import {blind, type Outcome} from './outcome.ts';

export interface Check<World> {
  /** Stable: `node.rules`. What --skip and a script name. */
  readonly name: string;
  /** What it looks at, for the report; at most a dozen words. */
  readonly looks: string;
  /** What throws here is told as "could not look". */
  readonly run: (world: World) => Promise<Outcome>;
}

/** One line of the report. */
export interface Row {
  readonly check: string;
  readonly looks: string;
  readonly outcome: Outcome;
}

/** A check that waits longer is told so: commands give up after 20 s by themselves, and an outage must not hang its doctor. */
export const CHECK_TIMEOUT_MS = 45_000;

/** Runs those that `skip` does not name, in order. Never rejects. */
export async function runChecks<World>(
  checks: readonly Check<World>[],
  world: World,
  skip: ReadonlySet<string>,
  timeoutMs = CHECK_TIMEOUT_MS,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const check of checks) {
    if (skip.has(check.name)) continue;
    rows.push({check: check.name, looks: check.looks, outcome: await within(check, world, timeoutMs)});
  }
  return rows;
}

async function within<World>(check: Check<World>, world: World, timeoutMs: number): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Outcome>((resolve) => {
    timer = setTimeout(
      () => resolve(blind(`no answer within ${timeoutMs / 1000} s`, 'See what it looks at, and run doctor again.')),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([check.run(world), late]);
  } catch (error) {
    return blindBy(error);
  } finally {
    clearTimeout(timer);
  }
}

/** An error of ours says what to do; any other one is named. */
export function blindBy(error: unknown): Outcome {
  if (error instanceof SallyportError) return blind(error.message, error.fix);
  return blind(error instanceof Error ? error.message.split('\n')[0]! : String(error), '');
}
