/** The capture's health as metrics: what /readyz says, for alerts. */
import type {Metrics} from '../runtime/metrics.ts';
import type {Health} from './node-capture.ts';

export function showCapture(
  {started, current, inForce, guarded, stateError, unplaced, ended}: Health,
  {wanted, held}: {readonly wanted: number; readonly held: number},
  {captureState, captureMembers}: Pick<Metrics, 'captureState' | 'captureMembers'>,
): void {
  const states = {started, current, 'in-force': inForce, guarded, remembered: stateError === null};
  for (const [state, is] of Object.entries(states)) captureState.set({state}, is ? 1 : 0);
  const counts = {wanted, held, unplaced: unplaced.length, ended: ended.length};
  for (const [what, count] of Object.entries(counts)) captureMembers.set({what}, count);
}
