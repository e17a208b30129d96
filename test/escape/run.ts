/** Makes all attempts of a world: first the locked pod all of them, then their controls, then the judgement. */
import type {Attempt} from './attempt.ts';
import {newToken} from './token.ts';
import {createWorld, WORLDS, type World, type WorldName, type WorldOptions} from './world.ts';

export type Outcome =
  | {readonly kind: 'held'}
  | {readonly kind: 'open'; readonly where: string}
  | {readonly kind: 'skip'; readonly why: string};

export interface Result {
  readonly attempt: Attempt;
  readonly world: WorldName;
  /** The attempt's id, and the world where that is not the usual one. */
  readonly id: string;
  readonly outcome: Outcome;
}

/** Two cores, and most attempts wait for an answer that does not come. */
const AT_ONCE = 24;
/** A world is six processes. */
const WORLDS_AT_ONCE = 3;
const ALLOWED_TRIES = 4;
/** A control that has not arrived by then does not arrive. */
const CONTROL_TIMEOUT_MS = 10_000;

/** All that belong into the worlds; a world is made for those that share it, and one for each that is alone. */
export async function runAll(
  attempts: readonly Attempt[],
  worlds: readonly WorldName[],
  onResult: (result: Result) => void = () => undefined,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const name of worlds) {
    const here = attempts.filter((attempt) => (attempt.worlds ?? ['routed']).includes(name));
    const report = (outcomes: readonly Outcome[], of: readonly Attempt[]): void =>
      outcomes.forEach((outcome, n) => {
        const attempt = of[n]!;
        const result = {attempt, outcome, world: name, id: name === 'routed' ? attempt.id : `${attempt.id}@${name}`};
        results.push(result);
        onResult(result);
      });
    const shared = here.filter((attempt) => attempt.alone !== true);
    if (shared.length > 0) report(await inWorld(name, shared), shared);
    const alone = here.filter((attempt) => attempt.alone === true);
    await each(alone, WORLDS_AT_ONCE, async (attempt) => report(await inWorld(name, [attempt]), [attempt]));
  }
  return results;
}

async function inWorld(name: WorldName, attempts: readonly Attempt[]): Promise<Outcome[]> {
  const world = await createWorld(WORLDS[name]);
  try {
    return await outcomes(world, name, attempts);
  } finally {
    await world.close();
  }
}

async function outcomes(world: World, name: WorldName, attempts: readonly Attempt[]): Promise<Outcome[]> {
  // What is held by a wall is only worth something where there is a door.
  const before = await allowed(world);
  if (before !== null) throw new Error(`${name}: ${before}`);
  const options: WorldOptions = WORLDS[name];
  if (options.unattended === true) await world.killProxy();
  const broken = options.unattended === true || attempts.some((attempt) => attempt.alone === true);

  const tries = attempts.map((attempt) => ({
    attempt,
    token: newToken(),
    answered: false,
    failure: null as string | null,
  }));
  await each(tries, AT_ONCE, async (one) => {
    try {
      one.answered = (await one.attempt.attempt(world.attacker('locked', one.token), world)) === 'answered';
    } catch (error) {
      one.failure = `the attempt itself failed: ${(error as Error).message}`;
    }
  });
  const after = broken ? null : await allowed(world);
  if (after !== null) throw new Error(`${name}, after the attempts: ${after}`);

  const controls = await each(tries, AT_ONCE, ({attempt, failure}) =>
    failure === null ? control(world, attempt) : Promise.resolve(null),
  );
  // On a busy machine a program may be late: once more, alone.
  for (const [n, {attempt}] of tries.entries()) if (controls[n] !== null) controls[n] = await control(world, attempt);
  return tries.map(({attempt, token, answered, failure}, n) => {
    const where =
      world.witness.heard(token).find(attempt.out ?? (() => true)) ?? (answered ? 'the other side was heard' : null);
    return failure !== null
      ? {kind: 'open', where: failure}
      : where !== null
        ? {kind: 'open', where}
        : controls[n] !== null
          ? {kind: 'open', where: controls[n]!}
          : {kind: 'held'};
  });
}

/** null: it arrived, or there is nothing to try. */
async function control(world: World, {attempt, control}: Attempt): Promise<string | null> {
  if (typeof control === 'object' && 'none' in control) return null;
  const [who, act] = typeof control === 'string' ? [control, attempt] : [control.by, control.instead];
  const token = newToken();
  const by = world.attacker(who, token, CONTROL_TIMEOUT_MS / 1000);
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
  let said = '';
  // On a busy machine curl may give up: another one then, a few times.
  for (let tries = 0; tries < ALLOWED_TRIES; tries++) {
    const token = newToken();
    const {stdout} = await world.attacker('locked', token).curl(`https://allowed.test/public/${token}`);
    if (world.witness.heard(token).length > 0) return null;
    said = stdout;
  }
  return `what the locked pod may do does not arrive, so nothing here is proved: ${said}`;
}

async function each<T, R>(items: readonly T[], atOnce: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  await Promise.all(
    Array.from({length: Math.min(atOnce, items.length)}, async () => {
      for (let n = next++; n < items.length; n = next++) results[n] = await work(items[n]!);
    }),
  );
  return results;
}
