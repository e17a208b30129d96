/** The files change while filters run. */
import {rmSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect, test} from '@jest/globals';
import {ask, useWorld} from './testing/harness.ts';

const world = useWorld();
const {put, start, notice} = world;

describe('a filter is reloaded when a file changes', () => {
  test('and what is in flight finishes with the old code', async () => {
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
    rmSync(join(world.dir, 'a.ts'));
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
