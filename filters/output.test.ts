import {EventEmitter} from 'node:events';
import {PassThrough} from 'node:stream';
import {describe, expect, test} from '@jest/globals';
import {LineReader, failureAt, throttle} from './output.ts';

const DIR = '/etc/filters';

test.each([
  [
    'a syntax error of JavaScript',
    [
      'file:///etc/filters/a.mjs:2',
      '  const x = ;',
      '            ^',
      '',
      "SyntaxError: Unexpected token ';'",
      '    at compile (node:internal:1:2)',
    ],
    "a.mjs:2: SyntaxError: Unexpected token ';'",
  ],
  [
    'a syntax error of TypeScript behind our own line',
    [
      'file:///app/host.ts:107',
      '    throw error;',
      '/etc/filters/a.ts:3',
      'SyntaxError [ERR_INVALID_TYPESCRIPT_SYNTAX]: Expression expected',
    ],
    'a.ts:3: SyntaxError [ERR_INVALID_TYPESCRIPT_SYNTAX]: Expression expected',
  ],
  [
    'a throw at the top of a module',
    ['Error: boom', '    at file:///etc/filters/lib/b.mjs:7:9'],
    'lib/b.mjs:7: Error: boom',
  ],
  [
    'an error of no place',
    ['TypeError: its export request is no function'],
    'last.ts: TypeError: its export request is no function',
  ],
  ['nothing', ['warning: something'], null],
])('what Node prints about %s is told as file:line: message', (_what, lines, expected) => {
  expect(failureAt(lines, DIR, 'last.ts')).toBe(expected);
});

test('lines are put together, cut, and counted when there are too many', () => {
  const seen: string[] = [];
  const reader = new LineReader((line) => seen.push(line));
  reader.push(Buffer.from('one\ntw'));
  reader.push(Buffer.from(`o\n${'x'.repeat(5000)}\n`));
  expect(seen.slice(0, 2)).toEqual(['one', 'two']);
  expect(seen[2]).toHaveLength(1000);
  reader.push(Buffer.from('y\n'.repeat(1000)));
  expect(seen.length).toBeLessThanOrEqual(103);
});

describe('what is printed without end', () => {
  test('is not read faster than a limit, as long as its writer lives', () => {
    const stream = new PassThrough({highWaterMark: 10 * 1024 * 1024});
    const child = new EventEmitter();
    throttle(stream, child);
    stream.emit('data', Buffer.alloc(1000));
    expect(stream.isPaused()).toBe(false);
    stream.emit('data', Buffer.alloc(1024 * 1024));
    expect(stream.isPaused()).toBe(true);
    // Its end has to be seen.
    child.emit('exit');
    expect(stream.isPaused()).toBe(false);
    stream.emit('data', Buffer.alloc(1024 * 1024));
    expect(stream.isPaused()).toBe(false);
  });
});
