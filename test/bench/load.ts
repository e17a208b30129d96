/** One run of wrk, and what it said. */

export interface Load {
  readonly name: string;
  readonly path: string;
  readonly connections: number;
  /** A new client connection (and TLS handshake) for each request. */
  readonly close: boolean;
}

export const LOADS: readonly Load[] = [
  {name: 'keep-alive, 100 B', path: '/small', connections: 16, close: false},
  {name: 'new connection each, 100 B', path: '/small', connections: 16, close: true},
  {name: 'keep-alive, 1 MB', path: '/large', connections: 4, close: false},
  {name: 'new connection each, 1 MB', path: '/large', connections: 4, close: true},
];

export interface Measured {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers that were not 2xx or 3xx, and socket errors: a run with any is no measurement. */
  readonly errors: number;
}

/** The arguments of wrk for a load. */
export function wrkArguments(load: Load, url: string, seconds: number): string[] {
  const close = load.close ? ['-H', 'Connection: close'] : [];
  return [
    '-t1',
    `-c${load.connections}`,
    `-d${seconds}s`,
    '--timeout',
    '10s',
    '--latency',
    ...close,
    `${url}${load.path}`,
  ];
}

/** Reads wrk's report. Throws where it is none. */
export function parseWrk(report: string): Measured {
  const number = (pattern: RegExp): number => Number(pattern.exec(report)?.[1] ?? 0);
  const latency = (percentile: string): number => {
    const found = new RegExp(`^\\s+${percentile}%\\s+([\\d.]+)(us|ms|s)`, 'm').exec(report);
    if (found === null) throw new Error(`wrk reported no latency:\n${report}`);
    return Number(found[1]) * {us: 0.001, ms: 1, s: 1000}[found[2] as 'us' | 'ms' | 's'];
  };
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(report);
  // wrk counts the server's close after `Connection: close` as no error; everything that it does count is one.
  const socketErrors = sockets === null ? 0 : sockets.slice(1).reduce((sum, n) => sum + Number(n), 0);
  return {
    requests: number(/(\d+) requests in/),
    requestsPerSecond: number(/Requests\/sec:\s+([\d.]+)/),
    p50Ms: latency('50'),
    p99Ms: latency('99'),
    errors: number(/Non-2xx or 3xx responses: (\d+)/) + socketErrors,
  };
}
