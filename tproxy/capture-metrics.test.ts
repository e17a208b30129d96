import {expect, test} from '@jest/globals';
import {createMetrics, exposition} from '../runtime/metrics.ts';
import {showCapture} from './capture-metrics.ts';
import type {Health} from './node-capture.ts';

const HEALTHY: Health = {
  ...{inForce: true, guarded: true, started: true, current: true, stateError: null, lastError: null},
  ...{locked: 2, captured: 1, sidecars: 0, drifts: 0, ended: ['10.0.0.9'], unplaced: []},
};

const shown = async (health: Health): Promise<string[]> => {
  const metrics = createMetrics();
  showCapture(health, {wanted: 3, held: 2}, metrics);
  // Beside a worker's, which knows nothing of the capture.
  const {text} = await exposition([
    await createMetrics().registry.getMetricsAsJSON(),
    await metrics.registry.getMetricsAsJSON(),
  ]);
  return text.split('\n').filter((line) => line.startsWith('sallyport_capture_'));
};

test('a capture that is not in force is seen as such, and nothing hides it', async () => {
  expect(await shown({...HEALTHY, inForce: false, current: false})).toEqual([
    'sallyport_capture_state{state="started"} 1',
    'sallyport_capture_state{state="current"} 0',
    'sallyport_capture_state{state="in-force"} 0',
    'sallyport_capture_state{state="guarded"} 1',
    'sallyport_capture_state{state="remembered"} 1',
    'sallyport_capture_members{what="wanted"} 3',
    'sallyport_capture_members{what="held"} 2',
    'sallyport_capture_members{what="unplaced"} 0',
    'sallyport_capture_members{what="ended"} 1',
  ]);
});

test('who has no capture tells nothing of one: a 0 would be an alert', async () => {
  const {text} = await exposition([await createMetrics().registry.getMetricsAsJSON()]);
  expect(text).not.toMatch(/^sallyport_(capture_state|capture_members|certificate_\w+)[{ ]/m);
});
