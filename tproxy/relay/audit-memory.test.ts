import {expect, test} from '@jest/globals';
import {AuditMemory, MAX_AUDITED_WORKLOADS} from './audit-memory.ts';

test('a name is remembered for its workload alone', () => {
  const memory = new AuditMemory(10);
  memory.add('a', 'x.test');
  expect([memory.has('a', 'x.test'), memory.has('a', 'y.test'), memory.has('b', 'x.test')]).toEqual([
    true,
    false,
    false,
  ]);
});

test('of too many names the oldest goes', () => {
  const memory = new AuditMemory(2);
  for (const name of ['one.test', 'two.test', 'three.test']) memory.add('a', name);
  expect(['one.test', 'two.test', 'three.test'].map((name) => memory.has('a', name))).toEqual([false, true, true]);
});

test('workloads come and go: of too many the one that learnt nothing for the longest time is forgotten', () => {
  const memory = new AuditMemory(2);
  memory.add('first', 'x.test');
  memory.add('second', 'x.test');
  memory.add('first', 'y.test');
  for (let i = 2; i <= MAX_AUDITED_WORKLOADS; i++) memory.add(`w${i}`, 'x.test');
  expect([memory.has('first', 'x.test'), memory.has('second', 'x.test')]).toEqual([true, false]);
});

test('a name that is learnt again is not forgotten for it', () => {
  const memory = new AuditMemory(2);
  for (const name of ['one.test', 'two.test', 'one.test', 'two.test']) memory.add('a', name);
  expect(['one.test', 'two.test'].map((name) => memory.has('a', name))).toEqual([true, true]);
});
