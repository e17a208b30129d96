/** Filters run, and one that fails denies: real processes, real files. */
import {mkdirSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect, test} from '@jest/globals';
import {ask, askResponse, failing, useWorld} from './testing/harness.ts';

const world = useWorld();
const {put, start, notice} = world;

describe('filters run', () => {
  test('in the order of their names, each seeing what the one before it did, in TypeScript and JavaScript, sync and async', async () => {
    put(
      '20-b.js',
      `export async function request(flow) { flow.request.headers.add('x-seen', flow.request.headers.get('x-a') ?? 'none'); }`,
    );
    put(
      '10-a.ts',
      `export function request(flow: {request: any}): void { flow.request.headers.set('x-a', flow.request.path); }`,
    );
    put('30-c.mjs', `export const response = (flow) => flow.response.headers.delete('server');`);
    put('_lib.ts', `throw new Error('not a filter');`);
    put('types.d.ts', `export type X = 1;`);
    const filters = start();
    await filters.ready;
    expect([filters.hasRequest, filters.hasResponse]).toEqual([true, true]);
    expect(await ask(filters, '/p')).toEqual({
      kind: 'continue',
      headers: ['Host', 'a.test', 'X-One', '1', 'x-a', '/p', 'x-seen', '/p'],
    });
    expect(await askResponse(filters)).toEqual({kind: 'continue', headers: []});
    expect(world.notices).toContainEqual({
      level: 'info',
      event: 'filters.loaded',
      message: 'filters in force: 10-a.ts, 20-b.js, 30-c.mjs',
    });
  });

  test('until one answers, with its name', async () => {
    put(
      'a.ts',
      `export function request(flow) { if (flow.workload.labels.team === 'a') flow.respond({status: 418, body: 'teapot'}); }`,
    );
    put('b.ts', `export function request() { throw new Error('must not run'); }`);
    const filters = start();
    await filters.ready;
    expect(await ask(filters)).toEqual({
      kind: 'answered',
      filter: 'a.ts',
      response: {status: 418, headers: ['content-type', 'text/plain; charset=utf-8'], body: 'teapot'},
    });
    expect(filters.hasResponse).toBe(false);
  });

  test('with modules of their folder, and data files beside them', async () => {
    mkdirSync(join(world.dir, 'lib'));
    put('lib/names.ts', `export const blocked: string[] = ['/no'];`);
    put('list.txt', '/never');
    put(
      'a.ts',
      `import {readFileSync} from 'node:fs';
      import {blocked} from './lib/names.ts';
      const list = readFileSync(new URL('./list.txt', import.meta.url), 'utf8');
      export function request(flow: any) { if ([...blocked, list].includes(flow.request.path)) flow.respond({status: 451}); }`,
    );
    const filters = start();
    await filters.ready;
    expect(await Promise.all(['/no', '/never', '/yes'].map(async (path) => (await ask(filters, path)).kind))).toEqual([
      'answered',
      'answered',
      'continue',
    ]);
  });

  test('not at all where there are none, and come into force when the first one is put there', async () => {
    const filters = start();
    await filters.ready;
    expect([filters.hasRequest, filters.hasResponse]).toEqual([false, false]);
    const loaded = notice('filters.loaded');
    put('a.ts', `export function request(flow) { flow.respond({status: 418}); }`);
    await loaded;
    expect(filters.hasRequest).toBe(true);
    expect((await ask(filters)).kind).toBe('answered');
  });

  test('and what they print is a line of the log', async () => {
    put('a.ts', `export function request() { console.log('seen it'); }`);
    const filters = start();
    await filters.ready;
    const printed = notice('filters.output');
    await ask(filters);
    expect(await printed).toBe('seen it');
  });
});

describe('a filter that fails denies', () => {
  test.each([
    ['throws', `throw new Error('boom');`, /^Error: boom \(a\.ts:2\)$/],
    ['rejects', `return Promise.reject(new TypeError('later'));`, /TypeError: later \(a\.ts:2\)/],
    ['throws no error', `throw 'text';`, /it threw text/],
    ['changes Host', `flow.request.headers.set('Host', 'evil.test');`, /cannot be changed by a filter \(a\.ts:2\)/],
    [
      'changes the framing',
      `flow.request.headers.add('Transfer-Encoding', 'chunked');`,
      /cannot be changed by a filter/,
    ],
    ['answers with nonsense', `flow.respond({status: 7});`, /status "7"/],
    ['answers and then throws', `flow.respond({status: 200}); throw new Error('after');`, /after/],
  ])('that %s', async (_what, code, message) => {
    put('a.ts', `export function request(flow: any) {\n${code}\n}`);
    const filters = start();
    await filters.ready;
    expect(await ask(filters)).toEqual({...failing(message), filter: 'a.ts'});
  });

  test('that changes the framing of a response', async () => {
    put('a.ts', `export function response(flow: any) { flow.response.headers.set('content-length', '0'); }`);
    const filters = start();
    await filters.ready;
    expect(await askResponse(filters)).toMatchObject(failing(/cannot be changed/));
  });

  test.each([
    ['spins', true, 'for (;;);'],
    ['never settles', false, 'return new Promise(() => {});'],
    ['backtracks without end', true, `/^(a+)+$/.test('a'.repeat(60) + '!');`],
    ['waits for shared memory', true, 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);'],
    [
      'queues microtasks without end',
      false,
      'const again = () => queueMicrotask(again); again(); return new Promise(() => {});',
    ],
    ['reads a generator without end', true, 'for (const _ of (function* () { for (;;) yield 1; })());'],
    ['prints without end', true, `for (;;) console.log('x'.repeat(100000));`],
  ])(
    'that %s: its process is ended and replaced, what waits behind it fails too, and the next call is served',
    async (_what, blocks, code) => {
      put('a.ts', `export function request(flow: any) { if (flow.request.path === '/hang') { ${code} } }`);
      const filters = start(100);
      await filters.ready;
      const replaced = notice('filters.loaded');
      const [hung, behind] = await Promise.all([ask(filters, '/hang'), ask(filters, '/behind')]);
      expect(hung).toEqual({...failing(/a call took over 100 ms/), filter: 'a.ts'});
      if (blocks) expect(behind).toMatchObject(failing(/a call took over 100 ms/));
      await replaced;
      expect(world.notices).toContainEqual({
        level: 'error',
        event: 'filters.ended',
        message: expect.stringContaining('the process is replaced'),
      });
      // Asked until it answers within its 100 ms: the machine may be slow, the process is there.
      let verdict = await ask(filters);
      for (let i = 0; verdict.kind === 'failed' && i < 20; i++) verdict = await ask(filters);
      expect(verdict.kind).toBe('continue');
    },
  );

  test('that crashes its process: every call in flight fails, and the process is replaced', async () => {
    put(
      'a.ts',
      `export function request(flow: any) {
      if (flow.request.path === '/crash') setImmediate(() => { throw new Error('loose end'); });
      return flow.request.path === '/ok' ? undefined : new Promise<void>(() => {});
    }`,
    );
    const filters = start();
    await filters.ready;
    const verdicts = await Promise.all([ask(filters, '/wait'), ask(filters, '/crash')]);
    for (const verdict of verdicts) expect(verdict).toMatchObject(failing(/exit code 1.*loose end/));
    expect((await ask(filters, '/ok')).kind).toBe('continue');
  });

  test('that eats memory: its process dies, not ours', async () => {
    put(
      'a.ts',
      `const kept: unknown[] = [];
      export function request(flow: any) { if (flow.request.path === '/eat') for (;;) kept.push(new Array(100000).fill(flow)); }`,
    );
    const filters = start();
    await filters.ready;
    expect(await ask(filters, '/eat')).toMatchObject(failing(/their process ended/));
    expect((await ask(filters, '/ok')).kind).toBe('continue');
  });

  test('after close, as every other', async () => {
    put('a.ts', `export function request() { return new Promise(() => {}); }`);
    const filters = start();
    await filters.ready;
    const pending = ask(filters);
    await filters.close();
    expect(await pending).toMatchObject(failing(/were ended/));
    expect(await ask(filters)).toMatchObject(failing(/not running/));
  });
});

describe('at start', () => {
  test('a module that does not load is an error with file and line', async () => {
    put('a.mjs', `export function request() {\n  const x = ;\n}`);
    await expect(start().ready).rejects.toMatchObject({
      code: 'FilterNotLoaded',
      message: expect.stringMatching(/^a\.mjs:2: SyntaxError/),
    });
  });

  test('a directory that is not there is one, too', async () => {
    rmSync(world.dir, {recursive: true});
    await expect(start().ready).rejects.toMatchObject({code: 'FiltersUnreadable'});
    mkdirSync(world.dir);
  });

  test('calls are held until the filters are there, not let past them', async () => {
    put('a.ts', `export function request(flow: any) { flow.respond({status: 418}); }`);
    const filters = start();
    expect(filters.hasRequest).toBe(true);
    expect((await ask(filters)).kind).toBe('answered');
  });
});
