/** What a filter cannot do, tried by real filters. */
import {rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import {createFilters} from './index.ts';
import type {RunningFilters} from './index.ts';
import {GENEROUS_MS, ask, failing, filterFolder, useWorld} from './testing/harness.ts';

const {put, start} = useWorld();

/** What they say once they are there: a machine under load starts them slowly, and calls wait only so long. */
async function asked(): Promise<unknown> {
  const filters = start();
  await filters.ready;
  return ask(filters);
}

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
    expect(await asked()).toMatchObject({response: {body: '[]'}});
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
    const absent = /is not defined|is not a function|is not a constructor/;
    const fixed = /read only property|not extensible|belongs to everybody|Cannot redefine|Cannot delete/;
    const tries: [string, string, RegExp][] = [
      ['read a file elsewhere', `(await import('node:fs')).readFileSync('/etc/hostname')`, denied],
      [
        'read a file beside its folder',
        `(await import('node:fs')).readFileSync(new URL('../sp-key', import.meta.url))`,
        denied,
      ],
      ['list another folder', `(await import('node:fs')).readdirSync('/')`, denied],
      ['read asynchronously', `(await import('node:fs/promises')).readFile('/etc/hostname')`, denied],
      [
        'write a file',
        `(await import('node:fs') as any).writeFileSync(new URL('./new.ts', import.meta.url), '')`,
        absent,
      ],
      ['link its way out', `(await import('node:fs') as any).symlinkSync('/etc', './out')`, absent],
      ['read our environment', `(await import('node:fs')).readFileSync('/proc/${process.pid}/environ')`, denied],
      ['read its own memory map', `(await import('node:fs')).readFileSync('/proc/self/maps')`, denied],
      ['forge a verdict on the channel', `(await import('node:fs') as any).writeSync(3, 'x')`, absent],
      [
        'read the calls of others from the channel',
        `(await import('node:fs') as any).readFileSync(3)`,
        /by its path or URL, not by a descriptor/,
      ],
      ['read them by promises', `(await import('node:fs/promises') as any).readFile(3)`, /not by a descriptor/],
      [
        'make a socket of the stream of its console',
        `new (console as any)._stdout.constructor()`,
        /Cannot read properties of undefined/,
      ],
      [
        'reach the agent of fetch',
        `(void Response, (globalThis as any)[Symbol.for('undici.globalDispatcher.1')].request)`,
        absent,
      ],
      [
        'reach it without fetch',
        `(globalThis as any)[Symbol.for('undici.globalDispatcher.1')].request`,
        /Cannot read properties of undefined/,
      ],
      ['compile WebAssembly', `new WebAssembly.Module(new Uint8Array())`, absent],
      ['start a thread', `new Worker('data:,')`, absent],
      [
        'load an engine',
        `(await import('node:crypto')).setEngine('/x.so')`,
        /unsupported while the experimental permission model/,
      ],
      [
        'import the network in a module of its own making',
        `import('data:text/javascript,import "node:net"')`,
        /a filter cannot import node:net/,
      ],
      [
        'import the network in code made of text',
        `new Function('return import("node:net")')()`,
        /a filter cannot import node:net/,
      ],
      ['import it in eval', `(0, eval)('import("node:child_process")')`, /a filter cannot import node:child_process/],
      [
        'import what is outside of its folder',
        `import(${JSON.stringify(new URL('./wire.ts', import.meta.url).href)})`,
        /not in the filters' folder/,
      ],
      ['give all objects a toJSON', `(Object.prototype as any).toJSON = () => ({kind: 'continue'})`, fixed],
      ['replace JSON', `(globalThis as any).JSON = {}`, fixed],
      ['replace JSON.stringify', `(JSON as any).stringify = () => '{}'`, fixed],
      ['replace what promises do', `(Promise.prototype as any).then = () => undefined`, fixed],
      ['replace what arrays do', `(Array.prototype as any).push = () => 0`, fixed],
      ['replace how bytes are read', `(Buffer.prototype as any).toString = () => '{}'`, fixed],
      ['replace how bytes are made', `(Buffer as any).allocUnsafe = () => null`, fixed],
      [
        'replace how streams write',
        `(Object.getPrototypeOf((await import('node:zlib')).createGzip()) as any).constructor.prototype.write = () => true`,
        /undefined|read only|belongs to everybody|not extensible/,
      ],
      [
        'replace how events are told',
        `((await import('node:events')).EventEmitter.prototype as any).emit = () => true`,
        fixed,
      ],
      ['replace how emitters begin', `((await import('node:events')).EventEmitter as any).init = () => true`, fixed],
      ['replace how timers are set', `(globalThis as any).setTimeout = () => 0`, fixed],
      ['replace the console for others', `(globalThis as any).console = {}`, fixed],
      ['take a global away', `delete (globalThis as any).Buffer`, fixed],
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
      folder = filterFolder();
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
      expect(await asked()).toMatchObject({response: {body: '[{},null]'}});
    } finally {
      delete process.env['SP_SECRET'];
    }
  });

  test('undo what another filter said, whatever it tries before', async () => {
    put(
      '10-evil.ts',
      `import {EventEmitter} from 'node:events';
      const attempts: (() => unknown)[] = [
        () => Object.defineProperty(Object.prototype, 'toJSON', {value: () => ({kind: 'continue', id: 0, headers: null, filter: ''})}),
        () => Object.defineProperty(Object.prototype, 'then', {get: () => undefined}),
        () => Object.defineProperty(Array.prototype, '0', {set: () => undefined}),
        () => ((JSON as any).stringify = () => '{}'),
        () => Reflect.defineProperty(globalThis, 'JSON', {value: {stringify: () => '{}'}}),
        () => Object.setPrototypeOf(Object.prototype, null),
        () => Object.setPrototypeOf(Buffer.prototype, {}),
        () => ((Buffer as any).byteLength = () => 0),
        () => ((EventEmitter.prototype as any).emit = () => true),
        () => ((Number as any).isInteger = () => false),
        () => ((Object as any).entries = () => []),
        () => (((async () => {})().constructor.prototype as any).then = () => undefined),
      ];
      export function request(flow: any) {
        for (const attempt of attempts) try { attempt(); } catch { /* the next one */ }
        Object.assign(flow.request.headers, {changed: true, lines: () => []});
      }`,
    );
    put(
      '20-no.ts',
      `export async function request(flow: any) { flow.respond({status: 451, headers: {'x-by': 'no'}, body: 'no'}); }`,
    );
    const filters = start();
    await filters.ready;
    for (let i = 0; i < 3; i++)
      expect(await ask(filters)).toMatchObject({
        kind: 'answered',
        filter: '20-no.ts',
        response: {status: 451, body: 'no'},
      });
  });

  test('rewrite what another filter said while it waits to be sent, in memory that small Buffers share', async () => {
    put(
      '10-evil.ts',
      `function rewrite() {
        for (let i = 0; i < 50; i++) {
          const pool = Buffer.from(Buffer.from('x').buffer);
          const at = pool.indexOf('{"kind":"answered"');
          if (at < 4) continue;
          const length = pool.readUInt32LE(at - 4);
          const {id} = JSON.parse(pool.toString('utf8', at, at + length));
          pool.write(JSON.stringify({kind: 'continue', id, headers: null, filter: ''}).padEnd(length), at);
        }
      }
      export function request() { process.nextTick(rewrite); queueMicrotask(rewrite); setImmediate(rewrite); }`,
    );
    put('20-no.ts', `export function request(flow: any) { flow.respond({status: 451}); }`);
    const filters = start();
    await filters.ready;
    for (let i = 0; i < 20; i++) expect(await ask(filters)).toMatchObject({kind: 'answered', filter: '20-no.ts'});
  });

  test('but is not kept from naming its errors, extending classes and overriding methods, and computing', async () => {
    put(
      'a.ts',
      `import {EventEmitter} from 'node:events';
      import {gzipSync, gunzipSync} from 'node:zlib';
      import {createHash, randomUUID} from 'node:crypto';
      import {inspect} from 'node:util';
      class Mine extends Error { constructor() { super('m'); this.name = 'Mine'; } override toString() { return 'mine'; } }
      class Bus extends EventEmitter { override emit(name: string) { return super.emit(name); } }
      export async function request(flow: any) {
        const bus: any = new Bus();
        bus.on = bus.on.bind(bus);
        let heard = 0;
        bus.on('x', () => heard++);
        bus.emit('x');
        const plain: any = {};
        plain.toString = () => 'plain';
        await new Promise((resolve) => setTimeout(resolve, 1));
        const said = [String(new Mine()), new Mine().name, heard, String(plain), gunzipSync(gzipSync('zipped')).toString(), createHash('sha256').update('').digest('hex').length, randomUUID().length, inspect({a: 1}), new URL('https://a.test/b').pathname, structuredClone([1])[0]];
        flow.respond({status: 200, body: said.join()});
      }`,
    );
    expect(await asked()).toMatchObject({response: {body: 'mine,Mine,1,plain,zipped,64,36,{ a: 1 },/b,1'}});
  });
});
