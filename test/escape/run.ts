/** Makes all attempts in one world: first the locked pod all of them, then their controls, then the judgement. */
import type {Attempt} from './attempt.ts';
import {newToken} from './token.ts';
import type {World} from './world.ts';

export type Outcome =
  | {readonly kind: 'held'}
  | {readonly kind: 'open'; readonly where: string}
  | {readonly kind: 'skip'; readonly why: string};

export interface Result {
  readonly attempt: Attempt;
  readonly outcome: Outcome;
}

/** Two cores, and most attempts wait for an answer that does not come. */
const AT_ONCE = 24;
/** A control that has not arrived by then does not arrive. */
const CONTROL_TIMEOUT_MS = 10_000;

export async function runAll(
  world: World,
  attempts: readonly Attempt[],
  onResult: (result: Result) => void = () => undefined,
): Promise<Result[]> {
  // What is held by a wall is only worth something where there is a door.
  const before = await allowed(world);
  if (before !== null) throw new Error(before);

  const tries = attempts.map((attempt) => ({
    attempt,
    token: newToken(),
    answered: false,
    failure: null as string | null,
  }));
  await each(tries, async (one) => {
    try {
      one.answered = (await one.attempt.attempt(world.attacker('locked', one.token), world)) === 'answered';
    } catch (error) {
      one.failure = `the attempt itself failed: ${(error as Error).message}`;
    }
  });
  const after = await allowed(world);
  if (after !== null) throw new Error(`after the attempts: ${after}`);

  const controls = await each(tries, ({attempt, failure}) =>
    failure === null ? control(world, attempt) : Promise.resolve(null),
  );
  return tries.map(({attempt, token, answered, failure}, n) => {
    const where =
      world.witness.heard(token).find(attempt.out ?? (() => true)) ?? (answered ? 'the other side was heard' : null);
    const outcome: Outcome =
      failure !== null
        ? {kind: 'open', where: failure}
        : where !== null
          ? {kind: 'open', where}
          : controls[n] !== null
            ? {kind: 'open', where: controls[n]!}
            : {kind: 'held'};
    const result = {attempt, outcome};
    onResult(result);
    return result;
  });
}

/** null: it arrived, or there is nothing to try. */
async function control(world: World, {attempt, control}: Attempt): Promise<string | null> {
  if (typeof control === 'object' && 'none' in control) return null;
  const [who, act] = typeof control === 'string' ? [control, attempt] : [control.by, control.instead];
  const token = newToken();
  const by = world.attacker(who, token);
  let stop: NodeJS.Timeout | undefined;
  try {
    const given = new Promise<'late'>((resolve) => (stop = setTimeout(() => resolve('late'), CONTROL_TIMEOUT_MS)));
    const doing = act(by, world);
    doing.catch(() => undefined);
    const heard = world.witness.hears(token);
    const first = await Promise.race([heard.then(() => 'heard' as const), doing, given]);
    // What is on its way when the attempt ends may take a moment.
    if (first === 'heard' || first === 'answered') return null;
    if (first !== 'late' && (await Promise.race([heard.then(() => 'heard' as const), given])) === 'heard') return null;
    return `the control proves nothing: from ${who} nothing arrived either`;
  } catch (error) {
    return `the control failed: ${(error as Error).message}`;
  } finally {
    clearTimeout(stop);
  }
}

/** Why the locked pod cannot do what it may do; null: it can. */
async function allowed(world: World): Promise<string | null> {
  const token = newToken();
  const {stdout} = await world.attacker('locked', token).curl(`https://allowed.test/public/${token}`);
  if (world.witness.heard(token).length > 0) return null;
  return `what the locked pod may do does not arrive, so nothing here is proved: ${stdout}`;
}

async function each<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  await Promise.all(
    Array.from({length: Math.min(AT_ONCE, items.length)}, async () => {
      for (let n = next++; n < items.length; n = next++) results[n] = await work(items[n]!);
    }),
  );
  return results;
}
