import {expect, test} from '@jest/globals';
import {Registry} from 'prom-client';
import {certificatePem, makeRoot, newKey} from '../pki/index.ts';
import {certificateTimes, validityOf} from './certificate-times.ts';
import {exposition} from './metrics.ts';

const HOUR_MS = 3_600_000;
const NOW_MS = Date.parse('2026-11-21T12:00:00Z');
const certificate = (lifeMs: number, nowMs = NOW_MS): string => certificatePem(makeRoot(newKey(), nowMs, lifeMs));

test('a chain is valid from its youngest certificate until the first of them ends', () => {
  const [long, short] = [certificate(9 * HOUR_MS), certificate(2 * HOUR_MS, NOW_MS + HOUR_MS)];
  const both = validityOf(`${long}${short}`, 'a test');
  expect(both).toEqual(validityOf(short, 'a test'));
  expect(both.notAfterMs).toBe(NOW_MS + 3 * HOUR_MS);
});

test('processes that tell of the same certificate are not added up, and one that is gone is not told of', async () => {
  const parts = await Promise.all(
    [9, 2].map((hours) => {
      const registry = new Registry();
      const times = certificateTimes(registry);
      times.show('signing', {notBeforeMs: NOW_MS, notAfterMs: NOW_MS + hours * HOUR_MS});
      times.show('root', {notBeforeMs: NOW_MS, notAfterMs: NOW_MS});
      times.show('root', null);
      return registry.getMetricsAsJSON();
    }),
  );
  const {text} = await exposition(parts);
  expect(text.split('\n').filter((line) => line.startsWith('sallyport_'))).toEqual([
    `sallyport_certificate_start_timestamp_seconds{certificate="signing"} ${NOW_MS / 1000}`,
    `sallyport_certificate_end_timestamp_seconds{certificate="signing"} ${(NOW_MS + 2 * HOUR_MS) / 1000}`,
  ]);
});
