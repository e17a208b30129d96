/** What a filter cannot do, tried by real filters. */
import {rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import {createFilters} from './index.ts';
import type {RunningFilters} from './index.ts';
import {GENEROUS_MS, ask, failing, filterFolder, useWorld} from './testing/harness.ts';

const {put, start} = useWorld();

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
