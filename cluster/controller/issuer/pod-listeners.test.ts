import {expect, test} from '@jest/globals';
import {PodListeners, type Listener} from './pod-listeners.ts';

interface Heard extends Listener {
  ended: boolean;
}
const listener = (): Heard => {
  const one: Heard = {ended: false, write: () => undefined, waitingBytes: 0, end: () => void (one.ended = true)};
  return one;
};

test('a pod that begins to listen again and again, and takes nothing, fills no memory: its oldest ends', () => {
  const listeners = new PodListeners();
  const other = listener();
  listeners.add('other', other);
  const ofOne = Array.from({length: 100}, listener);
  for (const one of ofOne) listeners.add('one', one);
  expect(ofOne.filter(({ended}) => !ended)).toEqual(ofOne.slice(-2));
  expect(other.ended).toBe(false);
  expect(listeners.all()).toEqual([other, ...ofOne.slice(-2)]);
});

test('who is gone makes room, and is not told any more', () => {
  const listeners = new PodListeners();
  const [first, second, third] = [listener(), listener(), listener()];
  const leave = listeners.add('one', first);
  listeners.add('one', second);
  leave();
  leave();
  const leaveThird = listeners.add('one', third);
  expect([first.ended, second.ended, third.ended]).toEqual([false, false, false]);
  leaveThird();
  expect(listeners.all()).toEqual([second]);
});

test('one whose end comes later, after it was pushed out, takes nobody else out', () => {
  const listeners = new PodListeners();
  const three = [listener(), listener(), listener()];
  const leaves = three.map((one) => listeners.add('one', one));
  leaves[0]!();
  expect(listeners.all()).toEqual(three.slice(1));
  for (const leave of leaves.slice(1)) leave();
  const late = listener();
  listeners.add('one', late);
  leaves[0]!();
  expect(listeners.all()).toEqual([late]);
});
