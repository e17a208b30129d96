import {expect, test} from '@jest/globals';
import {HandshakeTurns} from './handshake-turns.ts';
import {RELAY_LIMITS} from './limits.ts';
import {Usages} from './usage.ts';

const limits = {
  ...RELAY_LIMITS,
  handshakeBurst: 2,
  handshakesPerSecond: 1,
  handshakesPerTurn: 2,
  waitingHandshakesPerWorkload: 5,
  waitingHandshakes: 7,
};

function setUp(): {
  turns: HandshakeTurns;
  usages: Usages;
  begun: string[];
  enter: (who: string, n: number) => boolean[];
} {
  const usages = new Usages(limits);
  const turns = new HandshakeTurns(limits, usages);
  const begun: string[] = [];
  const enter = (who: string, n: number): boolean[] =>
    Array.from({length: n}, (_, i) => turns.enter(usages.of(who), 0, () => void begun.push(`${who}${i}`)));
  return {turns, usages, begun, enter};
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('within its rate a workload begins at once', () => {
  const {begun, enter} = setUp();
  enter('a', 2);
  expect(begun).toEqual(['a0', 'a1']);
});

test('beyond it, those that wait take turns with other workloads, each in order', async () => {
  const {begun, enter} = setUp();
  enter('a', 6);
  enter('b', 4);
  expect(begun).toEqual(['a0', 'a1', 'b0', 'b1']);
  begun.length = 0;
  await turn();
  expect(begun).toEqual(['a2', 'b2']);
  await turn();
  expect(begun).toEqual(['a2', 'b2', 'a3', 'b3']);
  await turn();
  expect(begun).toEqual(['a2', 'b2', 'a3', 'b3', 'a4', 'a5']);
});

test('another workload within its rate does not wait for those lines', () => {
  const {begun, enter} = setUp();
  enter('a', 7);
  enter('b', 1);
  expect(begun).toEqual(['a0', 'a1', 'b0']);
});

test('too many that wait are refused, by workload and in all', () => {
  const {enter} = setUp();
  expect(enter('a', 8).filter((entered) => !entered)).toHaveLength(1);
  expect(enter('b', 5).filter((entered) => !entered)).toHaveLength(1);
});

test('nothing is counted as waiting when all have begun', async () => {
  const {usages, enter, begun} = setUp();
  enter('a', 7);
  while (begun.length < 7) await turn();
  expect(usages.all.handshakes).toBe(0);
});
