/**
 * The filters' process: loads the modules of a directory and runs them on what comes over descriptor 3. Started by process.ts
 * with Node's permission model, an empty environment and no network; everything here assumes that a filter may be hostile.
 * argv: the directory. It ends when its parent does.
 */
import {readdirSync} from 'node:fs';
import {registerHooks} from 'node:module';
import {Socket} from 'node:net';
import {join} from 'node:path';
import {pathToFileURL} from 'node:url';
import {filterFiles} from './files.ts';
import {makeFlow} from './flow.ts';
import {lockDown} from './lock-down.ts';
import type {Filter, ResponseFlow} from './types.ts';
import {FrameReader, encodeFrame, frameWriter} from './wire.ts';
import type {Call, FromHost} from './wire.ts';

interface Loaded {
  readonly name: string;
  readonly filter: Filter;
}

const exit = process.exit.bind(process);
const later = setImmediate;
const dir = process.argv[2]!;
const href = pathToFileURL(dir).href;
const channel = new Socket({fd: 3, readable: true, writable: true});
const write = frameWriter(channel);
const say = (message: FromHost): void => write(encodeFrame(message));
// Small Buffers are pieces of one: whoever has one of them has its neighbours, and frames that wait to be sent would be among them.
Buffer.poolSize = 0;
let filters: readonly Loaded[] = [];

async function load(): Promise<void> {
  const loaded: Loaded[] = [];
  for (const file of files) {
    say({kind: 'loading', file});
    const filter = (await import(pathToFileURL(join(dir, file)).href)) as Filter;
    for (const name of ['request', 'response'] as const)
      if (filter[name] !== undefined && typeof filter[name] !== 'function')
        throw new TypeError(`its export ${name} is no function`);
    if (!filter.request && !filter.response)
      throw new TypeError('it exports neither request nor response; a file that others import begins with _');
    loaded.push({name: file, filter});
  }
  filters = loaded;
  say({
    kind: 'loaded',
    filters: loaded.map(({name, filter}) => ({name, request: !!filter.request, response: !!filter.response})),
  });
}

/** Filters in order, without a Promise for those that are synchronous. */
function run(call: Call): void {
  const phase = call.response === null ? 'request' : 'response';
  const {flow, outcome, answered} = makeFlow(call.request, call.response);
  /** The last one that ran: what it is blamed for, if our other side refuses the result. */
  let last = '';
  const failed = (error: unknown): void => say({kind: 'failed', id: call.id, filter: last, message: describe(error)});
  const finish = (): void => {
    const {headers, answer} = outcome();
    say(
      answer === null
        ? {kind: 'continue', id: call.id, headers, filter: last}
        : {kind: 'answered', id: call.id, filter: last, response: answer},
    );
  };
  const next = (from: number): void => {
    try {
      for (let i = from; i < filters.length && !answered(); i++) {
        const {name, filter} = filters[i]!;
        if (filter[phase] === undefined) continue;
        last = name;
        const pending = phase === 'request' ? filter.request!(flow) : filter.response!(flow as ResponseFlow);
        // Any thenable: going on before it is done would let the request pass unseen.
        if (typeof (pending as {then?: unknown} | undefined)?.then === 'function') {
          Promise.resolve(pending).then(() => next(i + 1), failed);
          return;
        }
      }
      finish();
    } catch (error) {
      failed(error);
    }
  };
  next(0);
}

/** The error and the filter's own line of it. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return `it threw ${String(error).slice(0, 200)}`;
  const at = (error.stack ?? '')
    .split('\n')
    .find((line) => line.includes(href))
    ?.match(/([^/]+:\d+):\d+\)?$/)?.[1];
  return `${error.name}: ${error.message}${at === undefined ? '' : ` (${at})`}`.slice(0, 500);
}

const reader = new FrameReader();
channel.on('data', (chunk) => {
  for (const call of reader.push(chunk)) run(call as Call);
});
channel.on('close', () => exit(0));
channel.on('error', () => exit(0));
const files = filterFiles(readdirSync(dir));
registerHooks(lockDown(dir, [Socket]));
load().catch((error: unknown) => {
  // Thrown where nothing catches it, for only then does Node print the source line of a syntax error.
  later(() => {
    throw error;
  });
});
