import {afterEach, expect, jest, test} from '@jest/globals';
import type {EgressRequest} from '../../policy/index.ts';
import type {Core} from './core.ts';
import {judgeAgain} from './judge.ts';
import {RECHECK_AGAIN_MS, RELAY_LIMITS} from './limits.ts';
import {Live} from './live.ts';

afterEach(() => {
  jest.useRealTimers();
});

test('a living flow that waits for its lookups is not judged for ever: it may end meanwhile', () => {
  jest.useFakeTimers();
  let asked = 0;
  const live = new Live({...RELAY_LIMITS, lookupsPerWorkload: 0});
  const core = {
    services: {
      policies: () => 'not-loaded',
      decide: () => {
        asked++;
        return {needs: 'addresses', of: ['a.test'], recent: false};
      },
    },
    live,
    now: () => 0,
  } as unknown as Core;
  let over = false;
  const asking = {usage: live.usages.of('a pod'), hint: null};
  const answer = jest.fn();
  judgeAgain(core, asking, {id: 'one'} as EgressRequest, {connected: null, over: () => over}, answer);
  jest.advanceTimersByTime(RECHECK_AGAIN_MS);
  expect(asked).toBe(2);

  over = true;
  jest.advanceTimersByTime(RECHECK_AGAIN_MS);
  expect([asked, jest.getTimerCount()]).toEqual([2, 0]);
  expect(answer).not.toHaveBeenCalled();
});
