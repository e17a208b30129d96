import {describe, expect, test} from '@jest/globals';
import {RELAY_LIMITS} from './limits.ts';
import {UNKNOWN, Usages, writeShare} from './usage.ts';

const limits = {...RELAY_LIMITS, mintBurst: 200, mintsPerSecond: 10, mintBurstInAll: 150, mintsPerSecondInAll: 1};

describe('what workloads hold', () => {
  test('a workload at its own limit gets no more, and another one does', () => {
    const usages = new Usages(limits);
    const [noisy, quiet] = [usages.of('noisy'), usages.of('quiet')];
    for (let i = 0; i < 3; i++) expect(usages.take(noisy, 'requests', 1, 3, 100)).toBe(true);
    expect(usages.take(noisy, 'requests', 1, 3, 100)).toBe(false);
    expect(usages.take(quiet, 'requests', 1, 3, 100)).toBe(true);
    expect(usages.all.requests).toBe(4);
  });

  test('what is given back may be taken again', () => {
    const usages = new Usages(limits);
    const one = usages.of('one');
    usages.take(one, 'headerBytes', 10, 10, 10);
    usages.give(one, 'headerBytes', 10);
    expect(usages.take(one, 'headerBytes', 10, 10, 10)).toBe(true);
  });

  test('at the limit in all, who holds much is refused and who holds little is not', () => {
    const usages = new Usages(limits);
    const [noisy, quiet] = [usages.of('noisy'), usages.of('quiet')];
    while (usages.take(noisy, 'connections', 1, 1_000, 500));
    expect(noisy.connections).toBe(500);
    for (let i = 0; i < 10; i++) expect(usages.take(quiet, 'connections', 1, 1_000, 500)).toBe(true);
    expect(usages.take(quiet, 'connections', 1, 1_000, 500)).toBe(false);
  });

  test('sources that are in no table get nothing above the limit in all: there may be any number of them', () => {
    const usages = new Usages(limits);
    usages.hold(usages.of('noisy'), 'connections', 500);
    expect(usages.take(usages.of(`${UNKNOWN}192.0.2.1`), 'connections', 1, 1_000, 500)).toBe(false);
  });

  test('many who mint together meet the limit in all, and who mints little does not', () => {
    const usages = new Usages(limits);
    const [noisy, quiet] = [usages.of('noisy'), usages.of('quiet')];
    let minted = 0;
    while (usages.mayMint(noisy, 0)) minted++;
    expect(minted).toBe(limits.mintBurstInAll);
    expect([usages.mayMint(quiet, 0), usages.mayMint(quiet, 0)]).toEqual([true, true]);
    expect(usages.mayMint(quiet, 0)).toBe(false);
  });

  test('a name that is being looked up is counted once, however many requests wait for it', () => {
    const usages = new Usages({...limits, lookupsPerWorkload: 2});
    const one = usages.of('one');
    expect([usages.ask(one, ['a.test', 'b.test'], 0), usages.ask(one, ['a.test', 'a.test'], 0)]).toEqual([true, true]);
    expect(usages.ask(one, ['c.test'], 0)).toBe(false);
    usages.answered(one, ['a.test', 'b.test']);
    expect(usages.ask(one, ['c.test'], 0)).toBe(true);
    usages.answered(one, ['c.test']);
    usages.answered(one, ['a.test', 'a.test']);
    expect(usages.all.lookups).toBe(0);
  });

  test('new names are limited by the second too, and a refused question is not counted as asked', () => {
    const usages = new Usages({...limits, lookupBurst: 3, lookupsPerSecond: 1});
    const one = usages.of('one');
    for (const name of ['a.test', 'b.test', 'c.test']) {
      expect(usages.ask(one, [name], 0)).toBe(true);
      usages.answered(one, [name]);
    }
    expect(usages.ask(one, ['d.test'], 0)).toBe(false);
    expect(usages.all.lookups).toBe(0);
    expect(usages.ask(one, ['d.test'], 1_000)).toBe(true);
  });

  test('closing and opening anew does not forgive; time does', () => {
    const usages = new Usages(limits);
    while (usages.mayMint(usages.of('noisy'), 0));
    usages.sweep(1_000);
    expect(usages.of('noisy').mints.spent(1_000)).toBeGreaterThan(0);
    usages.sweep(1_000_000);
    expect(usages.workloads).toBe(0);
  });

  test('who still holds something is not forgotten', () => {
    const usages = new Usages(limits);
    usages.hold(usages.of('one'), 'streams', 1);
    usages.sweep(1_000_000);
    expect(usages.workloads).toBe(1);
  });
});

describe('the share of unsent bytes', () => {
  test.each([
    ['one connection has the whole of what a connection may have', 1, limits.writeBufferBytes],
    ['as many as fit have it too', 256, limits.writeBufferBytes],
    ['more of them share', 1_024, limits.writeBufferBytesPerWorkload / 1_024],
    ['and never less than a record each', 1_000_000, limits.minWriteBufferBytes],
  ])('%s', (_, holders, bytes) => {
    expect(writeShare(limits, holders)).toBe(bytes);
  });
});
