import {X509Certificate} from 'node:crypto';
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {certificatePem, makeRoot, newKey} from '../../pki/index.ts';
import {readRoots, writeRoots} from './root-secret.ts';
import {
  advance,
  endOf,
  nextChangeMs,
  phaseOf,
  published,
  RETIRE_MARGIN_MS,
  rootOf,
  trustedRoots,
  type RootPair,
  type Roots,
  type RotationTiming,
} from './rotation.ts';

const DAY_MS = 86_400_000;
const START_MS = Date.parse('2026-11-21T12:00:00Z');
const TIMING: RotationTiming = {
  rootLifeMs: 100 * DAY_MS,
  renewBeforeMs: 40 * DAY_MS,
  publishMs: 10 * DAY_MS,
  childLifeMs: 7 * DAY_MS,
};

const key = newKey();
const keyPem = key.key.export({type: 'pkcs8', format: 'pem'}) as string;
const made = (nowMs: number, lifeMs = TIMING.rootLifeMs): RootPair => ({
  chainPem: certificatePem(makeRoot(key, nowMs, lifeMs)),
  keyPem,
});
const first = (nowMs = START_MS): Roots => ({
  ...{origin: 'made', signing: made(nowMs), next: null, retired: [], asked: null, answered: null},
  longestLifeMs: TIMING.childLifeMs,
});
const step = (roots: Roots, nowMs: number, timing = TIMING): Roots => advance(roots, nowMs, timing, () => made(nowMs));
const at = (days: number): number => START_MS + days * DAY_MS;

describe('a root goes through its phases', () => {
  test('steady until it has to be renewed, then made, published, retiring, steady', () => {
    const seen: string[] = [];
    let roots = first();
    for (let day = 0; day <= 90; day++) {
      roots = step(roots, at(day));
      // Bundles take two days to be written everywhere.
      if (day === 62) roots = published(roots, rootOf(roots.next!.pair), at(day));
      const phase = phaseOf(roots);
      if (!seen.at(-1)?.startsWith(`${phase} `)) seen.push(`${phase} since day ${day}`);
    }
    expect(seen).toEqual([
      'steady since day 0',
      'made since day 60',
      'published since day 62',
      'retiring since day 72',
      'steady since day 80',
    ]);
  });

  test('one that is not in every bundle does not sign, however long it takes', () => {
    let roots = step(first(), at(60));
    const before = rootOf(roots.signing);
    for (let day = 61; day < 99; day++) roots = step(roots, at(day));
    expect([phaseOf(roots), rootOf(roots.signing)]).toEqual(['made', before]);
  });

  test('and takes over at once when the other has ended, for nothing could be worse', () => {
    let roots = step(first(), at(60));
    const next = rootOf(roots.next!.pair);
    roots = step(roots, at(101));
    expect(rootOf(roots.signing)).toBe(next);
  });

  test('what the flags allowed once is still about: a root is believed for the longest life that it ever signed', () => {
    const long = {...TIMING, childLifeMs: 30 * DAY_MS};
    let roots = step(first(), at(1), long);
    roots = step(roots, at(60));
    roots = published(roots, rootOf(roots.next!.pair), at(60));
    roots = step(roots, at(70));
    expect(roots.retired).toMatchObject([{untilMs: at(100) + RETIRE_MARGIN_MS}]);
    expect(roots.longestLifeMs).toBe(TIMING.childLifeMs);
  });

  test('a root that was told to be everywhere and is none of ours changes nothing', () => {
    const roots = step(first(), at(60));
    expect(published(roots, rootOf(made(at(0))), at(61))).toBe(roots);
    expect(published(first(), rootOf(first().signing), at(1)).next).toBeNull();
  });
});

describe('a rotation that is asked for', () => {
  test('begins at once, and once for each value', () => {
    let roots = step({...first(), asked: 'today'}, at(1));
    expect(phaseOf(roots)).toBe('made');
    roots = step(published(roots, rootOf(roots.next!.pair), at(1)), at(11));
    expect(phaseOf(roots)).toBe('retiring');
    expect(phaseOf(step(roots, at(30)))).toBe('steady');
  });

  test('while one is under way waits for it', () => {
    let roots = step({...first(), asked: 'one'}, at(1));
    const next = rootOf(roots.next!.pair);
    roots = step({...roots, asked: 'two'}, at(2));
    expect(rootOf(roots.next!.pair)).toBe(next);
    roots = step(published(roots, next, at(2)), at(12));
    expect(rootOf(roots.signing)).toBe(next);
    roots = step(roots, at(12));
    expect([phaseOf(roots), roots.answered]).toEqual(['made', 'two']);
  });

  test('of a root that the operator brought makes none: it is his to bring', () => {
    const brought: Roots = {...first(), origin: 'brought', asked: 'now'};
    expect(step(brought, at(99))).toBe(brought);
    const his: Roots = {...brought, next: {pair: made(at(60)), publishedAtMs: null}};
    const taken = step(published(his, rootOf(his.next!.pair), at(60)), at(70));
    expect(rootOf(taken.signing)).toBe(rootOf(his.next!.pair));
    expect(taken.retired).toHaveLength(1);
  });
});

test('nothing changes between now and the time that is told as the next', () => {
  let roots = first();
  for (let round = 0; round < 8; round++) {
    const due = nextChangeMs(roots, TIMING);
    if (due === Infinity) {
      roots = published(roots, rootOf(roots.next!.pair), endOf(roots.signing) - 30 * DAY_MS);
      continue;
    }
    expect(step(roots, due - 1)).toBe(roots);
    const after = step(roots, due);
    expect(after).not.toBe(roots);
    roots = after;
  }
});

test('what a Secret holds comes back as it was', () => {
  let roots = step({...first(), asked: 'now'}, at(1));
  roots = published(roots, rootOf(roots.next!.pair), at(2));
  for (const one of [first(), roots, step(roots, at(20))]) {
    const labels = {'app.kubernetes.io/managed-by': 'sallyport'};
    const annotations = one.asked === null ? {} : {'sallyport.dev/rotate': one.asked};
    const secret = writeRoots({metadata: {name: 's', labels, annotations}}, one);
    expect(readRoots(secret, 'a/s')).toEqual(one);
    expect(secret.metadata!.annotations!['sallyport.dev/ca-phase']).toBe(phaseOf(one));
  }
});

/**
 * Whoever leads, however often it is restarted, whenever bundles get written: three clients each of which reads its roots
 * at times of its own (as programs do at start) meet only leaves that they believe, as long as each reads within the time
 * for which a successor is published.
 */
test('over months: no client that reads its roots within the publish time meets what it does not believe', () => {
  const hour = 3_600_000;
  fc.assert(
    fc.property(
      fc.record({
        restarts: fc.array(fc.nat(24 * 300), {maxLength: 20}),
        asks: fc.array(fc.nat(24 * 300), {maxLength: 5}),
        bundleDelayHours: fc.integer({min: 1, max: 24 * 6}),
        away: fc.record({from: fc.nat(24 * 300), hours: fc.nat(24 * 3)}),
        reads: fc.array(fc.integer({min: 1, max: 24 * 9}), {minLength: 3, maxLength: 3}),
      }),
      ({restarts, asks, bundleDelayHours, away, reads}) => {
        let roots = first();
        let bundle = trustedRoots(roots);
        let writtenAt = 0;
        const clients = reads.map((every) => ({every, roots: bundle}));
        let child = {root: rootOf(roots.signing), endsAt: START_MS + TIMING.childLifeMs, renewAt: 0};
        for (let h = 0; h < 24 * 300; h += 3) {
          const now = START_MS + h * hour;
          const up = h < away.from || h >= away.from + away.hours;
          if (up) {
            if (asks.some((a) => a >= h - 3 && a < h)) roots = {...roots, asked: `at ${h}`};
            roots = step(roots, now);
            // A restart knows only what the Secret says.
            if (restarts.some((r) => r >= h - 3 && r < h)) {
              const labels = {'app.kubernetes.io/managed-by': 'sallyport'};
              const annotations = roots.asked === null ? {} : {'sallyport.dev/rotate': roots.asked};
              roots = readRoots(writeRoots({metadata: {labels, annotations}}, roots), 's');
              writtenAt = h;
            }
            const wanted = trustedRoots(roots);
            if (wanted.join() !== bundle.join() && h - writtenAt >= bundleDelayHours) {
              bundle = wanted;
              writtenAt = h;
            }
            if (roots.next !== null && bundle.includes(rootOf(roots.next.pair)))
              roots = published(roots, rootOf(roots.next.pair), now);
            if (now >= child.renewAt) {
              const endsAt = Math.min(now + TIMING.childLifeMs, endOf(roots.signing));
              child = {root: rootOf(roots.signing), endsAt, renewAt: now + TIMING.childLifeMs * (2 / 3)};
            }
          }
          for (const client of clients) if (h % client.every < 3) client.roots = bundle;
          if (now < child.endsAt)
            for (const client of clients) if (!client.roots.includes(child.root)) throw new Error(`at hour ${h}`);
          if (now >= Date.parse(new X509Certificate(child.root).validTo)) throw new Error(`ended at hour ${h}`);
        }
      },
    ),
    {numRuns: 15},
  );
});
