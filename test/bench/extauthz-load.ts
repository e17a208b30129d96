/** One run of h2load on a Check: one connection, and either as fast as it goes or so many requests a second. */
import {spawn} from 'node:child_process';
import {readFileSync, rmSync} from 'node:fs';

export const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';
/** Checks under way at once on the connection: what a busy Envoy worker has. */
const STREAMS = 16;

export type CheckLoad =
  | {readonly kind: 'full'; readonly requests: number}
  | {readonly kind: 'paced'; readonly requests: number; readonly perSecond: number};

export interface CheckLatencies {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly errors: number;
}

/** @param body the gRPC message in a file. @param log where h2load writes a line a request. @param under e.g. taskset. */
export async function loadCheck(
  port: number,
  load: CheckLoad,
  body: string,
  log: string,
  under: readonly string[],
): Promise<CheckLatencies> {
  const argv = [
    ...under,
    'h2load',
    '-c1',
    '-t1',
    `-m${STREAMS}`,
    `-n${load.requests}`,
    ...(load.kind === 'paced' ? [`--rps=${load.perSecond}`] : []),
    '-d',
    body,
    '-H',
    'content-type: application/grpc',
    '-H',
    'te: trailers',
    `--log-file=${log}`,
    `http://127.0.0.1:${port}${CHECK_PATH}`,
  ];
  // h2load appends.
  rmSync(log, {force: true});
  const {status, text} = await run(argv);
  if (status !== 0) throw new Error(`h2load ended with ${status}:\n${text}`);
  return parseLog(readFileSync(log, 'utf8'));
}

/** Lines of: start in µs since the epoch, HTTP status, µs until the end of the response. */
export function parseLog(text: string): CheckLatencies {
  let first = Infinity;
  let last = 0;
  let errors = 0;
  const taken: number[] = [];
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [start = 0, status = 0, us = 0] = line.split('\t').map(Number);
    first = Math.min(first, start);
    last = Math.max(last, start + us);
    if (status !== 200) errors++;
    taken.push(us);
  }
  taken.sort((a, b) => a - b);
  const at = (part: number): number =>
    (taken[Math.min(taken.length - 1, Math.floor(taken.length * part))] ?? NaN) / 1000;
  return {
    requests: taken.length,
    requestsPerSecond: taken.length / ((last - first) / 1e6),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    errors,
  };
}

function run([program, ...args]: readonly string[]): Promise<{status: number | null; text: string}> {
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, {stdio: ['ignore', 'pipe', 'pipe']});
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    child.once('error', reject);
    child.once('close', (status) => resolve({status, text}));
  });
}
