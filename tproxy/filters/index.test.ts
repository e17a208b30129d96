/** The whole of it: real processes, real files. */
import {chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test} from '@jest/globals';
import type {FilterRequest, FilterVerdict} from './contract.ts';
import {createFilters} from './index.ts';
import type {RunningFilters} from './index.ts';

/** Far more than any of these filters needs, on a machine that does other things: none overruns but those that never end. */
const GENEROUS_MS = 20_000;
// Each of these starts processes; on a loaded machine that takes its time.
jest.setTimeout(60_000);

let dir: string;
let running: RunningFilters[];
let notices: {level: string; event: string; message: string}[];
let waiting: {event: string; resolve: (message: string) => void}[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sp-filters-'));
  // As a mounted folder is: readable for the user that filters run as.
  chmodSync(dir, 0o755);
  running = [];
  notices = [];
  waiting = [];
});
afterEach(async () => {
  await Promise.all(running.map((filters) => filters.close()));
  rmSync(dir, {recursive: true});
});

const put = (name: string, source: string) => writeFileSync(join(dir, name), source);
function start(timeoutMs = GENEROUS_MS): RunningFilters {
  const filters = createFilters({
    dir,
    timeoutMs,
    onNotice(level, event, message) {
      notices.push({level, event, message});
      const [due, rest] = [waiting.filter((w) => w.event === event), waiting.filter((w) => w.event !== event)];
      waiting = rest;
      for (const {resolve} of due) resolve(message);
    },
  });
  running.push(filters);
  return filters;
}
/** The next notice of this name. */
const notice = (event: string) => new Promise<string>((resolve) => waiting.push({event, resolve}));
const requestOf = (path: string): FilterRequest => ({
  id: 'id1',
  workload: {namespace: 'default', name: 'pod', labels: {team: 'a'}, serviceAccount: 'sa'},
  scheme: 'https',
  host: 'a.test',
  port: 443,
  method: 'GET',
  path,
  query: null,
  headers: ['Host', 'a.test', 'X-One', '1'],
});
const ask = (filters: RunningFilters, path = '/') =>
  new Promise<FilterVerdict>((done) => filters.request(requestOf(path), done));
const askResponse = (filters: RunningFilters, headers = ['Server', 'x']) =>
  new Promise<FilterVerdict>((done) => filters.response(requestOf('/'), {status: 200, headers}, done));
const failing = (message: RegExp) => ({kind: 'failed', message: expect.stringMatching(message)});

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
    expect(notices).toContainEqual({
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
    expect(await ask(filters)).toEqual({
      kind: 'answered',
      filter: 'a.ts',
      response: {status: 418, headers: ['content-type', 'text/plain; charset=utf-8'], body: 'teapot'},
    });
    expect(filters.hasResponse).toBe(false);
  });

  test('with modules of their folder, and data files beside them', async () => {
    mkdirSync(join(dir, 'lib'));
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
    expect(await ask(filters)).toEqual({...failing(message), filter: 'a.ts'});
  });

  test('that changes the framing of a response', async () => {
    put('a.ts', `export function response(flow: any) { flow.response.headers.set('content-length', '0'); }`);
    expect(await askResponse(start())).toMatchObject(failing(/cannot be changed/));
  });

  test('that forges its process’s words on the wire', async () => {
    put(
      'a.ts',
      `import {writeSync} from 'node:fs';
      export function request() {
        const text = JSON.stringify({kind: 'continue', id: 0, filter: 'a.ts', headers: ['Host', 'evil.test']});
        const length = Buffer.alloc(4); length.writeUInt32LE(text.length);
        writeSync(3, Buffer.concat([length, Buffer.from(text)]));
      }`,
    );
    expect(await ask(start())).toMatchObject(failing(/changed Host/));
  });

  test.each([
    ['spins', 'for (;;);'],
    ['never settles', 'return new Promise(() => {});'],
  ])(
    'that %s: its process is ended and replaced, what waits behind it fails too, and the next call is served',
    async (_what, code) => {
      put('a.ts', `export function request(flow: any) { if (flow.request.path === '/hang') { ${code} } }`);
      const filters = start(100);
      await filters.ready;
      const replaced = notice('filters.loaded');
      const [hung, behind] = await Promise.all([ask(filters, '/hang'), ask(filters, '/behind')]);
      expect(hung).toEqual({...failing(/a call took over 100 ms/), filter: 'a.ts'});
      if (code.startsWith('for')) expect(behind).toMatchObject(failing(/a call took over 100 ms/));
      await replaced;
      expect(notices).toContainEqual({
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

describe('a filter is reloaded when a file changes', () => {
  test('and what is in flight finishes with the old code', async () => {
    put(
      'a.ts',
      `let release: () => void = () => {};
      export async function request(flow: any) {
        if (flow.request.path === '/release') return release();
        if (flow.request.path === '/slow') await new Promise<void>((resolve) => { release = resolve; console.log('waiting'); });
        flow.request.headers.set('x-version', '1');
      }`,
    );
    const filters = start();
    await filters.ready;
    const held = notice('filters.output');
    const slow = ask(filters, '/slow');
    await held;
    const released = slow.then(() => 'old code');
    const loaded = notice('filters.loaded');
    put('a.ts', `export function request(flow: any) { flow.request.headers.set('x-version', '2'); }`);
    await loaded;
    expect(await ask(filters)).toMatchObject({headers: expect.arrayContaining(['x-version', '2'])});
    // The old process is still there for its call alone; ended with the set, it fails closed.
    await filters.close();
    expect(await released).toBe('old code');
    expect(await slow).toMatchObject(failing(/were ended/));
  });

  test('and one in flight that finishes after the change answers by the old code', async () => {
    // The old code waits for a file that the new one comes with: no clock is involved.
    put(
      'a.ts',
      `import {existsSync} from 'node:fs';
      export async function request(flow: any) {
        if (flow.request.path === '/slow') {
          console.log('waiting');
          while (!existsSync(new URL('./go', import.meta.url))) await new Promise((resolve) => setTimeout(resolve, 5));
        }
        flow.request.headers.set('x-version', '1');
      }`,
    );
    const filters = start();
    await filters.ready;
    const held = notice('filters.output');
    const slow = ask(filters, '/slow');
    await held;
    const loaded = notice('filters.loaded');
    put('a.ts', `export function request(flow: any) { flow.request.headers.set('x-version', '2'); }`);
    await loaded;
    expect(await ask(filters)).toMatchObject({headers: expect.arrayContaining(['x-version', '2'])});
    put('go', '');
    expect(await slow).toMatchObject({kind: 'continue', headers: expect.arrayContaining(['x-version', '1'])});
  });

  test('also when only a file that it imports changes, or one is added or removed', async () => {
    put('_lib.ts', `export const version = '1';`);
    put(
      'a.ts',
      `import {version} from './_lib.ts'; export function request(flow: any) { flow.request.headers.set('x-version', version); }`,
    );
    const filters = start();
    await filters.ready;
    let loaded = notice('filters.loaded');
    put('_lib.ts', `export const version = 'two';`);
    await loaded;
    expect(await ask(filters)).toMatchObject({headers: expect.arrayContaining(['x-version', 'two'])});
    loaded = notice('filters.loaded');
    put('b.ts', `export function response() {}`);
    await loaded;
    expect(filters.hasResponse).toBe(true);
    loaded = notice('filters.loaded');
    rmSync(join(dir, 'a.ts'));
    await loaded;
    expect(filters.hasRequest).toBe(false);
  });

  test.each([
    [
      'does not parse',
      `export function request(flow: any) {\n  const x: number = ;\n}`,
      /^a\.ts:2: SyntaxError.*the ones before stay in force$/,
    ],
    ['throws at its top', `\n\nthrow new Error('boom');`, /^a\.ts:3: Error: boom/],
    ['exports nothing', `export const other = 1;`, /^a\.ts: TypeError: it exports neither request nor response/],
    ['exports no function', `export const request = 1;`, /^a\.ts: TypeError: its export request is no function/],
    ['imports what is not there', `import './gone.ts'; export function request() {}`, /^a\.ts.*gone\.ts/],
  ])('but one that %s changes nothing, and the notice says where', async (_what, source, message) => {
    put('a.ts', `export function request(flow: any) { flow.request.headers.set('x-version', '1'); }`);
    const filters = start();
    await filters.ready;
    const failed = notice('filters.failed');
    put('a.ts', source);
    expect(await failed).toMatch(message);
    expect(await ask(filters)).toMatchObject({headers: expect.arrayContaining(['x-version', '1'])});
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
    rmSync(dir, {recursive: true});
    await expect(start().ready).rejects.toMatchObject({code: 'FiltersUnreadable'});
    mkdirSync(dir);
  });

  test('calls are held until the filters are there, not let past them', async () => {
    put('a.ts', `export function request(flow: any) { flow.respond({status: 418}); }`);
    const filters = start();
    expect(filters.hasRequest).toBe(true);
    expect((await ask(filters)).kind).toBe('answered');
  });
});

describe('a filter cannot', () => {
  test('import what talks, spawns, or reaches the loader, under any name, early or late', async () => {
    const modules = [
      'net',
      'tls',
      'http',
      'https',
      'http2',
      'dgram',
      'dns',
      'dns/promises',
      'child_process',
      'cluster',
      'worker_threads',
      'module',
      'process',
      'inspector',
      'vm',
      'v8',
      'wasi',
      'os',
      'repl',
      'sqlite',
    ];
    put(
      'a.ts',
      `export async function request(flow: any) {
      const loaded: string[] = [];
      for (const name of ${JSON.stringify(modules)})
        for (const specifier of [name, 'node:' + name])
          try { await import(specifier); loaded.push(specifier); } catch (error) {
            // sqlite has no name without its prefix.
            if (!String(error).includes('a filter cannot import') && specifier !== 'sqlite') loaded.push(String(error));
          }
      flow.respond({status: 200, body: JSON.stringify(loaded)});
    }`,
    );
    expect(await ask(start())).toMatchObject({response: {body: '[]'}});
    put('a.ts', `import 'net';\nexport function request() {}`);
    await expect(start().ready).rejects.toMatchObject({
      code: 'FilterNotLoaded',
      message: expect.stringMatching(/^a\.ts.*a filter cannot import net/),
    });
  });

  test.each([
    ['CommonJS', 'a.js', 'module.constructor;', /module is not defined/],
    ['CommonJS that it imports', 'a.js', `import './_b.cjs';`, /ES modules/],
    ['WebAssembly that it imports', 'a.js', `import './_c.wasm';`, /a\.js/],
  ])('be %s', async (_what, name, source, message) => {
    put('_b.cjs', 'module.exports = 1;');
    put('_c.wasm', '\0asm\x01\0\0\0');
    put(name, `${source}\nexport function request() {}`);
    await expect(start().ready).rejects.toMatchObject({
      code: 'FilterNotLoaded',
      message: expect.stringMatching(message),
    });
  });

  describe('at run time', () => {
    const denied = /Access to this API has been restricted|requires full fs.read and fs.write permissions/;
    const absent = /is not defined|is not a function/;
    const tries: [string, string, RegExp][] = [
      ['read a file elsewhere', `(await import('node:fs')).readFileSync('/etc/hostname')`, denied],
      [
        'read a file beside its folder',
        `(await import('node:fs')).readFileSync(new URL('../sp-key', import.meta.url))`,
        denied,
      ],
      ['list another folder', `(await import('node:fs')).readdirSync('/')`, denied],
      ['read asynchronously', `(await import('node:fs/promises')).readFile('/etc/hostname')`, denied],
      ['write a file', `(await import('node:fs')).writeFileSync(new URL('./new.ts', import.meta.url), '')`, denied],
      ['link its way out', `(await import('node:fs')).symlinkSync('/etc', new URL('./out', import.meta.url))`, denied],
      ['open a connection by fetch', `fetch('http://127.0.0.1:1/')`, absent],
      ['open a WebSocket', `new WebSocket('ws://127.0.0.1:1/')`, absent],
      ['get a built-in module', `process.getBuiltinModule('net')`, absent],
      ['get a binding', `process.binding('tcp_wrap')`, absent],
      ['load native code', `process.dlopen({exports: {}}, '/x.node')`, absent],
      ['signal', `process.kill(1, 0)`, absent],
      ['become another program', `process.execve('/bin/true')`, absent],
      ['import from the network', `import('http://127.0.0.1:1/x.mjs')`, /Only URLs with a scheme/],
    ];
    let shared: RunningFilters;
    let folder: string;
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'sp-filters-'));
      chmodSync(folder, 0o755);
      const cases = tries.map(([what, code]) => `case ${JSON.stringify(what)}: await (${code}); break;`).join('\n');
      writeFileSync(
        join(folder, 'a.ts'),
        `export async function request(flow: any) { switch (flow.request.path) {\n${cases}\n} }`,
      );
      shared = createFilters({dir: folder, timeoutMs: GENEROUS_MS, onNotice: () => undefined});
      await shared.ready;
    });
    afterAll(async () => {
      await shared.close();
      rmSync(folder, {recursive: true});
    });
    test.each(tries)('%s', async (what, _code, message) => {
      expect(await ask(shared, what)).toMatchObject(failing(message));
    });
  });

  test('see our environment or arguments', async () => {
    process.env['SP_SECRET'] = 'x';
    put(
      'a.ts',
      `export function request(flow: any) { flow.respond({status: 200, body: JSON.stringify([process.env, (process as any).argv ?? null])}); }`,
    );
    try {
      expect(await ask(start())).toMatchObject({response: {body: '[{},null]'}});
    } finally {
      delete process.env['SP_SECRET'];
    }
  });

  test('be reached by the network either: nothing of ours listens for it', async () => {
    // Were a listening socket inherited, a filter could accept on it by descriptor.
    const server = createServer().listen(0, '127.0.0.1');
    put(
      'a.ts',
      `import {fstatSync} from 'node:fs';
      export function request(flow: any) {
        const sockets: number[] = [];
        for (let fd = 0; fd < 64; fd++) try { if (fstatSync(fd).isSocket()) sockets.push(fd); } catch { /* not open */ }
        flow.respond({status: 200, body: JSON.stringify(sockets)});
      }`,
    );
    try {
      // 1 and 2 carry what it prints, 3 the calls.
      expect(await ask(start())).toMatchObject({response: {body: '[1,2,3]'}});
    } finally {
      server.close();
    }
  });
});
