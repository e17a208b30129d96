import {expect, test} from '@jest/globals';
import {RELAY_LIMITS} from './limits.ts';
import {RequestTurns} from './request-turns.ts';
import {Usages} from './usage.ts';

const limits = {...RELAY_LIMITS, requestsPerTurn: 2};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setUp(): {begun: string[]; ask: (who: string, n: number) => void} {
  const usages = new Usages(limits);
  const turns = new RequestTurns(limits);
  const begun: string[] = [];
  return {
    begun,
    ask(who, n) {
      for (let i = 0; i < n; i++) {
        const usage = usages.of(who);
        if (turns.mayBegin(usage)) begun.push(`${who}${i}`);
        else turns.wait(usage, () => void begun.push(`${who}${i}`));
      }
    },
  };
}

test('so many begin in one turn, the rest in the next ones, in order', async () => {
  const {begun, ask} = setUp();
  ask('a', 5);
  expect(begun).toEqual(['a0', 'a1']);
  await turn();
  expect(begun).toEqual(['a0', 'a1', 'a2', 'a3']);
  await turn();
  expect(begun).toEqual(['a0', 'a1', 'a2', 'a3', 'a4']);
});

test('another workload begins at once, and shares the turns with those that wait', async () => {
  const {begun, ask} = setUp();
  ask('a', 100);
  ask('b', 3);
  expect(begun).toEqual(['a0', 'a1', 'b0', 'b1']);
  await turn();
  expect(begun.slice(4)).toEqual(['a2', 'b2']);
});

test('in a later turn a workload that waits for nothing begins at once again', async () => {
  const {begun, ask} = setUp();
  ask('a', 2);
  await turn();
  begun.length = 0;
  ask('a', 2);
  expect(begun).toEqual(['a0', 'a1']);
});

test('who comes while others of the workload wait does not overtake them', async () => {
  const {begun, ask} = setUp();
  ask('a', 6);
  await turn();
  ask('a', 1);
  expect(begun).toHaveLength(4);
  await turn();
  await turn();
  expect(begun.at(-1)).toBe('a0');
});

test('so many bytes move in one turn of a workload, whatever another one moves', async () => {
  const usages = new Usages(limits);
  const turns = new RequestTurns({...limits, bytesPerTurn: 100});
  const [noisy, quiet] = [usages.of('noisy'), usages.of('quiet')];
  expect([turns.mayMove(noisy, 60), turns.mayMove(noisy, 60), turns.mayMove(quiet, 60)]).toEqual([true, false, true]);
  let wentOn = false;
  turns.next(() => (wentOn = true));
  expect(wentOn).toBe(false);
  await turn();
  expect([wentOn, turns.mayMove(noisy, 60)]).toEqual([true, true]);
});
