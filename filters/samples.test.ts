/** The samples do what their first line says. */
import {cpSync, chmodSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect, jest, test} from '@jest/globals';
import type {FilterRequest, FilterVerdict} from './contract.ts';
import {createFilters} from './index.ts';

jest.setTimeout(60_000);
const SAMPLES = fileURLToPath(new URL('../samples/filters/', import.meta.url));

/** Runs some of the samples, on requests of a production pod. */
async function withSamples(
  names: readonly string[],
  use: (
    ask: (changes: Partial<FilterRequest>) => Promise<FilterVerdict>,
    askResponse: () => Promise<FilterVerdict>,
  ) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'sp-samples-'));
  chmodSync(dir, 0o755);
  for (const name of names) cpSync(join(SAMPLES, name), join(dir, name));
  const filters = createFilters({dir, timeoutMs: 20_000, onNotice: () => undefined});
  const request: FilterRequest = {
    id: 'id1',
    workload: {namespace: 'default', name: 'pod', labels: {stage: 'production'}, serviceAccount: 'sa'},
    scheme: 'https',
    host: 'storage.googleapis.com',
    port: 443,
    method: 'GET',
    path: '/solutions-public-assets/a',
    query: null,
    headers: ['Host', 'storage.googleapis.com'],
  };
  try {
    await filters.ready;
    await use(
      (changes) => new Promise((done) => filters.request({...request, ...changes}, done)),
      () => new Promise((done) => filters.response(request, {status: 200, headers: ['Server', 'x']}, done)),
    );
  } finally {
    await filters.close();
    rmSync(dir, {recursive: true});
  }
}

test('10-access-denied lets the bucket through and answers the rest with the page', () =>
  withSamples(['10-access-denied.ts'], async (ask) => {
    expect((await ask({})).kind).toBe('continue');
    const page = {status: 418, headers: ['content-type', 'text/html'], body: 'Access Denied by Administrator'};
    expect(await ask({path: '/other/a'})).toMatchObject({kind: 'answered', response: page});
    expect(await ask({host: 'www.google.com'})).toMatchObject({kind: 'answered', response: page});
  }));

test('20-who-asked names the pod to the server and the decision to the pod', () =>
  withSamples(['20-who-asked.ts'], async (ask, askResponse) => {
    expect(await ask({})).toMatchObject({
      headers: ['Host', 'storage.googleapis.com', 'x-egress-workload', 'default/pod'],
    });
    expect(await askResponse()).toEqual({kind: 'continue', headers: ['x-egress-decision', 'id1']});
  }));

test('30-change-window lets reads and approved tickets through at any hour, and keeps the ticket to us', () =>
  withSamples(['30-change-window.ts', 'tickets.txt'], async (ask) => {
    expect((await ask({})).kind).toBe('continue');
    expect(await ask({method: 'POST', headers: ['Host', 'a.test', 'X-Change-Ticket', 'CHG-1001']})).toEqual({
      kind: 'continue',
      headers: ['Host', 'a.test'],
    });
  }));
