import {describe, expect, test} from '@jest/globals';
import {parseLog} from './extauthz-load.ts';

describe("what h2load's log says", () => {
  test('latencies by rank, and the rate from the first start to the last end', () => {
    const lines = Array.from({length: 100}, (_, i) => `${1_000_000 + i * 10_000}\t200\t${(i + 1) * 1_000}`);
    expect(parseLog(`${lines.join('\n')}\n`)).toEqual({
      requests: 100,
      requestsPerSecond: 100 / 1.09,
      p50Ms: 51,
      p99Ms: 100,
      errors: 0,
    });
  });
  test('whatever is not 200 is an error', () => {
    expect(parseLog('1\t200\t5\n2\t503\t5\n3\t-1\t0\n').errors).toBe(2);
  });
});
