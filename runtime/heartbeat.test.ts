import {describe, expect, test} from '@jest/globals';
import {Heartbeat, HUNG_AFTER_BEATS, isStarved, SILENT_AFTER_BEATS} from './heartbeat.ts';

test('who answers each question has missed none', () => {
  const heart = new Heartbeat();
  for (let i = 0; i < 10; i++) {
    expect(heart.beat()).toBe(0);
    heart.answered();
  }
  expect(heart.silent).toBe(false);
});

test('questions without an answer are counted, and one answer forgives them', () => {
  const heart = new Heartbeat();
  expect([heart.beat(), heart.beat(), heart.beat(), heart.beat()]).toEqual([0, 1, 2, 3]);
  heart.answered();
  expect(heart.beat()).toBe(0);
});

test('silent is who left more than the tolerated questions unanswered, and the one under way is none of them', () => {
  const heart = new Heartbeat();
  for (let i = 0; i < SILENT_AFTER_BEATS; i++) heart.beat();
  expect(heart.silent).toBe(false);
  heart.beat();
  expect(heart.silent).toBe(true);
  heart.answered();
  expect(heart.silent).toBe(false);
});

describe('a silent process is starved, and not hung', () => {
  test.each<[string, string, number, boolean]>([
    ['where it would run and got next to nothing', 'R', 300, true],
    ['not where it ran all the time: its loop turns in a circle', 'R', 4_900, false],
    ['not where it ran half of the time', 'R', 2_500, false],
    ['not where it is stopped', 'T', 0, false],
    ['not where it waits for a disk or a lock', 'D', 0, false],
    ['not where it sleeps: it has been asked', 'S', 0, false],
  ])('%s', (_title, state, usedMs, expected) => {
    expect(isStarved({state: 'R', usedMs: 10_000}, {state, usedMs: 10_000 + usedMs}, HUNG_AFTER_BEATS)).toBe(expected);
  });
});
