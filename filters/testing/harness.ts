/** A folder of filters for each test, real processes on it, and what they notice. */
import {chmodSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, expect, jest} from '@jest/globals';
import type {FilterRequest, FilterVerdict} from '../contract.ts';
import {createFilters} from '../index.ts';
import type {RunningFilters} from '../index.ts';

/** Far more than any of these filters needs, on a machine that does other things: none overruns but those that never end. */
export const GENEROUS_MS = 20_000;

export interface World {
  readonly dir: string;
  readonly notices: readonly {level: string; event: string; message: string}[];
  readonly put: (name: string, source: string) => void;
  readonly start: (timeoutMs?: number) => RunningFilters;
  /** The message of the next notice of this name. */
  readonly notice: (event: string) => Promise<string>;
}

/** A folder as a mounted one is: readable for the user that filters run as. */
export function filterFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sp-filters-'));
  chmodSync(dir, 0o755);
  return dir;
}

/** A fresh world for each test of the file. Each starts processes; on a loaded machine that takes its time. */
export function useWorld(): World {
  jest.setTimeout(60_000);
  let dir = '';
  let running: RunningFilters[] = [];
  let notices: {level: string; event: string; message: string}[] = [];
  let waiting: {event: string; resolve: (message: string) => void}[] = [];
  beforeEach(() => {
    dir = filterFolder();
    running = [];
    notices = [];
    waiting = [];
  });
  afterEach(async () => {
    await Promise.all(running.map((filters) => filters.close()));
    rmSync(dir, {recursive: true});
  });
  return {
    get dir() {
      return dir;
    },
    get notices() {
      return notices;
    },
    put: (name, source) => writeFileSync(join(dir, name), source),
    start(timeoutMs = GENEROUS_MS) {
      const filters = createFilters({
        dir,
        timeoutMs,
        onNotice(level, event, message) {
          notices.push({level, event, message});
          const due = waiting.filter((wanted) => wanted.event === event);
          waiting = waiting.filter((wanted) => wanted.event !== event);
          for (const {resolve} of due) resolve(message);
        },
      });
      running.push(filters);
      return filters;
    },
    notice: (event) => new Promise((resolve) => waiting.push({event, resolve})),
  };
}

export const requestOf = (path: string): FilterRequest => ({
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

export const ask = (filters: RunningFilters, path = '/'): Promise<FilterVerdict> =>
  new Promise((done) => filters.request(requestOf(path), done));

export const askResponse = (filters: RunningFilters): Promise<FilterVerdict> =>
  new Promise((done) => filters.response(requestOf('/'), {status: 200, headers: ['Server', 'x']}, done));

export const failing = (message: RegExp): object => ({kind: 'failed', message: expect.stringMatching(message)});
