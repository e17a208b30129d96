import {describe, expect, test} from '@jest/globals';
import {EVENT_LIMITS, EventSeriesTable, type EventWrite} from './series.ts';
import {denialOf} from './testing.ts';

const told = (writes: readonly EventWrite[]): (readonly [string | null, number, string])[] =>
  writes.map(({denial, count, create}) => [denial.destination, count, create ? 'create' : 'update'] as const);
const pod = (name: string) => ({namespace: 'a', name, uid: `uid-${name}`});
function settle(
  table: EventSeriesTable,
  writes: readonly EventWrite[],
  how: 'written' | 'failed' | 'gone',
  nowMs: number,
) {
  for (const write of writes) table.settled(write, how, nowMs);
}

describe('an event', () => {
  test('is made at the first denial, and told how often it came again a minute later, under the same name', () => {
    const table = new EventSeriesTable();
    table.add([denialOf()], 0);
    const first = table.due(0);
    expect(told(first)).toEqual([['b.test:443', 1, 'create']]);
    settle(table, first, 'written', 0);
    for (let second = 1; second < 60; second++) {
      table.add([denialOf({count: 10, id: 'later'})], second * 1_000);
      expect(table.due(second * 1_000)).toEqual([]);
    }
    const second = table.due(EVENT_LIMITS.againMs);
    expect(told(second)).toEqual([['b.test:443', 591, 'update']]);
    expect(second[0]!.unique).toBe(first[0]!.unique);
    settle(table, second, 'written', EVENT_LIMITS.againMs);
    expect(table.due(3 * EVENT_LIMITS.againMs)).toEqual([]);
  });

  test('is another one for another pod, policy, rule, reason, verdict and destination', () => {
    const table = new EventSeriesTable();
    table.add(
      [
        denialOf(),
        denialOf({pod: pod('other')}),
        denialOf({policy: null}),
        denialOf({rule: 'r'}),
        denialOf({reason: 'RuleDenied'}),
        denialOf({verdict: 'would'}),
        denialOf({destination: null}),
        denialOf({count: 4}),
      ],
      0,
    );
    expect(table.due(0).map(({count}) => count)).toEqual([5, 1, 1, 1, 1, 1, 1]);
  });

  test('is not taken a second time while it is being written, and is tried again where that failed', () => {
    const table = new EventSeriesTable();
    table.add([denialOf()], 0);
    const first = table.due(0);
    table.add([denialOf()], 1);
    expect(table.due(1_000)).toEqual([]);
    settle(table, first, 'failed', 1_000);
    expect(told(table.due(1_000))).toEqual([['b.test:443', 2, 'create']]);
  });

  test('that ran out is made anew, for what came since', () => {
    const table = new EventSeriesTable();
    table.add([denialOf({count: 5})], 0);
    const first = table.due(0);
    settle(table, first, 'written', 0);
    table.add([denialOf({count: 2})], 1);
    const later = table.due(EVENT_LIMITS.againMs);
    settle(table, later, 'gone', EVENT_LIMITS.againMs);
    const anew = table.due(EVENT_LIMITS.againMs);
    expect(told(anew)).toEqual([['b.test:443', 2, 'create']]);
    expect(anew[0]!.unique).not.toBe(first[0]!.unique);
  });

  test('whose namespace is gone is forgotten', () => {
    const table = new EventSeriesTable();
    table.add([denialOf()], 0);
    settle(table, table.due(0), 'gone', 0);
    expect([table.size, table.takeSuppressed()]).toEqual([0, 1]);
  });

  test('that has ended is forgotten, and what comes then is another', () => {
    const table = new EventSeriesTable();
    table.add([denialOf()], 0);
    const first = table.due(0);
    settle(table, first, 'written', 0);
    expect(table.due(EVENT_LIMITS.endedMs - 1)).toEqual([]);
    expect(table.size).toBe(1);
    table.due(EVENT_LIMITS.endedMs);
    expect(table.size).toBe(0);
    table.add([denialOf()], EVENT_LIMITS.endedMs);
    expect(table.due(EVENT_LIMITS.endedMs)[0]!.unique).not.toBe(first[0]!.unique);
  });
});

describe('what is too much', () => {
  test('a pod has a handful of events, and the denials beyond are counted', () => {
    const table = new EventSeriesTable();
    for (let i = 0; i < 100; i++) table.add([denialOf({destination: `n${i}.test:443`})], 0);
    expect(table.size).toBe(EVENT_LIMITS.seriesPerPod);
    expect(table.takeSuppressed()).toBe(100 - EVENT_LIMITS.seriesPerPod);
    expect(table.takeSuppressed()).toBe(0);
    expect(table.due(0).length).toBe(EVENT_LIMITS.podBurst);
    expect(table.due(EVENT_LIMITS.podEverySeconds * 1_000).length).toBe(1);
  });

  test('one that is noisy takes nothing from the others', () => {
    const table = new EventSeriesTable();
    for (let i = 0; i < 100; i++) table.add([denialOf({destination: `n${i}.test:443`})], 0);
    table.add([denialOf({pod: pod('quiet')})], 0);
    expect(table.due(0).filter(({denial}) => denial.pod.name === 'quiet').length).toBe(1);
  });

  test('all pods together write no more than the budget, and later what is left', () => {
    const table = new EventSeriesTable();
    for (let i = 0; i < 1_000; i++) table.add([denialOf({pod: pod(`p${i}`)})], 0);
    expect(table.due(0).length).toBe(EVENT_LIMITS.burst);
    expect(table.due(1_000).length).toBe(EVENT_LIMITS.perSecond);
  });

  test('there are only so many at all', () => {
    const table = new EventSeriesTable();
    for (let i = 0; i < EVENT_LIMITS.series + 5; i++) table.add([denialOf({pod: pod(`p${i}`)})], 0);
    expect([table.size, table.takeSuppressed()]).toEqual([EVENT_LIMITS.series, 5]);
  });

  test('what was never written and has ended is counted', () => {
    const table = new EventSeriesTable();
    table.add([denialOf({count: 3})], 0);
    settle(table, table.due(0), 'failed', 0);
    expect(table.takeSuppressed()).toBe(0);
    expect(table.due(EVENT_LIMITS.endedMs)).toEqual([]);
    expect([table.size, table.takeSuppressed()]).toEqual([0, 3]);
  });
});
