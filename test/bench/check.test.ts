import {describe, expect, test} from '@jest/globals';
import {aims, checkTable, isMet, median, type Aim, type RoundRow} from './check.ts';

const row = (peer: string, round: number, cpuUsPerRequest: number): RoundRow => ({
  peer,
  round,
  load: 'keep-alive, 100 B',
  cpuUsPerRequest,
  requests: 1,
  requestsPerSecond: 1e6 / cpuUsPerRequest,
  p50Ms: 1,
  p99Ms: 1,
  errors: 0,
  residentBytes: 1,
});
const named = (all: readonly Aim[], what: string): Aim => all.find((aim) => aim.what === what)!;
const KEPT = 'CPU of Envoy, kept connections, 100 B';

describe('the aims of the bench', () => {
  test('a ratio is of two figures of one round, and the median of the rounds counts', () => {
    // The machine was slower in the second round, and something else ran beside Envoy in the third.
    const rows = [
      ...[row('sallyport', 1, 50), row('Envoy 1.40 (no policy)', 1, 100), row('mitmproxy 11', 1, 2000)],
      ...[row('sallyport', 2, 120), row('Envoy 1.40 (no policy)', 2, 200), row('mitmproxy 11', 2, 2400)],
      ...[row('sallyport', 3, 50), row('Envoy 1.40 (no policy)', 3, 500), row('mitmproxy 11', 3, 2000)],
    ];
    const found = aims(rows, []);
    expect(named(found, KEPT).measured).toBeCloseTo(0.5);
    expect(isMet(named(found, KEPT))).toBe(true);
    expect(named(found, 'requests/s of mitmproxy, kept connections, 100 B').measured).toBeCloseTo(40);
  });
  test('what was not measured is not met', () => {
    const found = aims([row('sallyport', 1, 1)], []);
    expect(found.every((aim) => !isMet(aim))).toBe(true);
    expect(checkTable(found).rows.every((cells) => cells.at(-1) === 'NO')).toBe(true);
  });
  test('an aim is met at its limit, from either side', () => {
    const aim = {what: '', unit: 'x', limit: 2};
    expect(isMet({...aim, measured: 2})).toBe(true);
    expect(isMet({...aim, measured: 2.1})).toBe(false);
    expect(isMet({...aim, measured: 2.1, least: true})).toBe(true);
    expect(isMet({...aim, measured: 1.9, least: true})).toBe(false);
  });
  test('figures are read from the tables that are printed', () => {
    const table = {title: 'Leaf minting (P-256)', columns: ['mean CPU ms', 'p50 ms'], rows: [['0.341', '0.3']]};
    expect(named(aims([], [table]), 'a leaf minted').measured).toBe(0.341);
  });
  test('the median of an even number is between the two in the middle', () => expect(median([4, 1, 3, 2])).toBe(2.5));
});
