import {expect, test} from '@jest/globals';
import {Heartbeat, SILENT_AFTER_BEATS} from './heartbeat.ts';

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
