/**
 * The loop: change an input, try it, keep it where the code under test did something that it had not done before. What was
 * done is asked of V8 for a batch at a time, since asking costs more than trying; a batch with news is searched by halves.
 */
import {startCoverage} from './coverage.ts';
import type {Coverage} from './coverage.ts';
import {minimise} from './minimise.ts';
import {mutate} from './mutate.ts';
import {createRandom} from './random.ts';
import type {Target} from './target.ts';
import {startWatchdog} from './watchdog.ts';
import type {Watchdog} from './watchdog.ts';

export interface Found {
  readonly input: Buffer;
  readonly message: string;
}

export interface Report {
  readonly executions: number;
  /** What is worth keeping on disk: together they reach everything that was reached. */
  readonly corpus: readonly Buffer[];
  readonly found: readonly Found[];
  /** Of the source of the functions under test, how much ran: 0 to 1. */
  readonly coverage: number;
  readonly kinds: number;
}

/** Asking for coverage takes milliseconds, a batch of so many a few dozen. */
const BATCH = 256;
/** Kinds beyond these are variations: they would fill memory, not reach anything. */
const MAX_KINDS = 1_500;
/** More findings of one run are the same few bugs. */
const MAX_FOUND = 10;
/** What is kept on disk is read by people, and by every `npm test`. */
const MAX_KEPT = 200;
/** Of two inputs one is taken from those kept last: what is new there was tried least. */
const RECENT = 32;

/** Fuzzes one target for a time. `corpus`: what earlier runs kept. */
export async function fuzz(
  target: Target,
  corpus: readonly Buffer[],
  options: {readonly seconds: number; readonly seed: number},
): Promise<Report> {
  const random = createRandom(options.seed);
  const dictionary = [...target.dictionary, '\r\n', '\n', ' ', ','].map((word) => Buffer.from(word, 'latin1'));
  const watchdog = startWatchdog(target.name, target.maxBytes);
  const coverage = startCoverage(target.covers);
  const pool: Buffer[] = [];
  const blocks = new Set<number>();
  const kinds = new Set<string>();
  const found = new Map<string, Found>();
  let executions = 0;

  /** Whether it broke nothing; its kind is noted. */
  const attempt = (input: Buffer): {kind: string} | {error: unknown} => {
    watchdog.trying(input);
    executions++;
    try {
      return {kind: target.run(input)};
    } catch (error) {
      return {error};
    }
  };
  const broke = (input: Buffer, error: unknown): void => {
    const key = keyOf(error);
    if (found.has(key) || found.size >= MAX_FOUND) return;
    const small = minimise(input, (candidate) => {
      const outcome = attempt(candidate);
      return 'error' in outcome && keyOf(outcome.error) === key;
    });
    const last = attempt(small);
    found.set(key, {input: small, message: String('error' in last ? last.error : error)});
  };
  /** Tries all; answers those of a new kind, and whether any block ran that had not. */
  const tryAll = (inputs: readonly Buffer[]): {fresh: Buffer[]; news: boolean} => {
    const fresh: Buffer[] = [];
    for (const input of inputs) {
      const outcome = attempt(input);
      if ('error' in outcome) broke(input, outcome.error);
      else if (!kinds.has(outcome.kind) && kinds.size < MAX_KINDS) {
        kinds.add(outcome.kind);
        fresh.push(input);
      }
    }
    let news = false;
    for (const block of coverage.take()) if (!blocks.has(block)) news = true;
    return {fresh, news};
  };
  /** Those among the inputs that run new blocks, by halves. */
  const search = (inputs: readonly Buffer[]): void => {
    for (const input of inputs) attempt(input);
    const news = [...coverage.take()].filter((block) => !blocks.has(block));
    if (news.length === 0) return;
    if (inputs.length === 1) {
      for (const block of news) blocks.add(block);
      pool.push(inputs[0]!);
      return;
    }
    search(inputs.slice(0, inputs.length >> 1));
    search(inputs.slice(inputs.length >> 1));
  };

  coverage.take();
  const given = [...target.seeds.map((seed) => (typeof seed === 'string' ? Buffer.from(seed, 'latin1') : seed)), ...corpus].map((input) => input.subarray(0, target.maxBytes)); // prettier-ignore
  for (const input of given) {
    tryAll([input]);
    search([input]);
    if (!pool.includes(input)) pool.push(input);
  }
  if (pool.length === 0) pool.push(Buffer.alloc(0));

  const until = performance.now() + options.seconds * 1000;
  const material = {dictionary, maxBytes: target.maxBytes, other: () => random.pick(pool)};
  while (performance.now() < until && found.size < MAX_FOUND) {
    const batch = Array.from({length: BATCH}, () => {
      const parent = random.chance(2) ? pool[Math.max(0, pool.length - 1 - random.below(RECENT))]! : random.pick(pool);
      return mutate(parent, random, material);
    });
    const {fresh, news} = tryAll(batch);
    pool.push(...fresh);
    if (news) search(batch);
    // Blocks that only the second try did not reach again (a cache was warm) are not looked for for ever.
    for (const block of coverage.take()) blocks.add(block);
  }
  const kept = options.seconds === 0 ? [] : select(pool, target, coverage, watchdog);
  const report = {executions, corpus: kept, found: [...found.values()], coverage: coverage.share(), kinds: kinds.size};
  coverage.close();
  await watchdog.close();
  return report;
}

/** The smallest inputs that together run every block and are of every kind: what is left of the pool on disk. */
function select(pool: readonly Buffer[], target: Target, coverage: Coverage, watchdog: Watchdog): Buffer[] {
  const reached = new Set<number | string>();
  const kept: Buffer[] = [];
  coverage.take();
  for (const input of [...pool].sort((a, b) => a.length - b.length)) {
    if (kept.length === MAX_KEPT) break;
    let kind: string;
    watchdog.trying(input);
    try {
      kind = target.run(input);
    } catch {
      continue;
    }
    const features = [kind, ...coverage.take()];
    if (features.every((feature) => reached.has(feature))) continue;
    for (const feature of features) reached.add(feature);
    kept.push(input);
  }
  return kept;
}

/** What tells findings apart: the sentence without what differs by input, and the place. */
function keyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const place = (error.stack ?? '').split('\n').find((line) => line.includes('.ts:') && !line.includes('/fuzz/target.ts')) ?? ''; // prettier-ignore
  return `${error.name} ${error.message.split('\n')[0]!.replace(/["'`].*|\d+/g, '')} ${place.trim()}`;
}
