import {expect, test} from '@jest/globals';
import {parseWrk} from './load.ts';

const REPORT = `Running 2s test @ https://bench.test/small
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.10ms  200.00us   5.00ms   80.00%
  Latency Distribution
     50%    1.02ms
     75%    1.20ms
     90%  900.00us
     99%    2.50s
  29000 requests in 2.00s, 5.00MB read
  Socket errors: connect 1, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 4
Requests/sec:  14500.25
`;

test('a report of wrk is read with its units, and every kind of error counts', () => {
  expect(parseWrk(REPORT)).toEqual({
    requests: 29000,
    requestsPerSecond: 14500.25,
    p50Ms: 1.02,
    p99Ms: 2500,
    errors: 10,
  });
});
test('a report without latencies is no measurement', () =>
  expect(() => parseWrk('unable to connect')).toThrow(/no latency/));
