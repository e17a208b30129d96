import {describe, expect, test} from '@jest/globals';
import {ByteSource, NEED_MORE, TOO_LONG} from './source.ts';
import {latin1} from './test-support.ts';

function fed(...chunks: string[]): ByteSource {
  const source = new ByteSource();
  for (const chunk of chunks) source.feed(latin1(chunk));
  return source;
}

describe('lines', () => {
  test('of one chunk are found in place', () => {
    const chunk = latin1('a\r\nb\r\n');
    const source = new ByteSource();
    source.feed(chunk);
    expect([source.line(99), source.line(99), source.line(99)]).toEqual([2, 5, NEED_MORE]);
    expect(source.bytes).toBe(chunk);
  });

  test('of several chunks are gathered, from the start of the section', () => {
    const source = fed('xxa\r', '\nb', '\r\n');
    source.consume(2);
    const lf = source.line(99);
    expect(source.bytes.toString('latin1', source.start, lf + 1)).toBe('a\r\n');
    const second = source.line(99);
    expect(source.bytes.toString('latin1', source.start, second + 1)).toBe('a\r\nb\r\n');
    expect(source.offsetOf(second)).toBe('xxa\r\nb\r\n'.length - 1);
  });

  test.each([[['abc\n']], [['ab', 'c\n']], [['abc', '\n']], [['a', 'b', 'c', '\n']]])(
    'a section of four bytes in %j is within 4 and beyond 3',
    (chunks) => {
      expect(fed(...chunks).line(4)).toBeGreaterThanOrEqual(0);
      expect(fed(...chunks).line(3)).toBe(TOO_LONG);
    },
  );

  test('without an end are refused at the limit and not before', () => {
    expect(fed('ab', 'c').line(4)).toBe(NEED_MORE);
    expect(fed('ab', 'cd').line(4)).toBe(TOO_LONG);
  });

  test('no more than the limit is ever copied together', () => {
    const source = fed('a', 'b'.repeat(100_000));
    expect(source.line(10)).toBe(TOO_LONG);
    expect(source.bytes).toHaveLength(10);
  });
});

describe('body bytes', () => {
  test('behind a gathered section come from the chunk that was fed', () => {
    const last = latin1('b\nbody');
    const source = fed('a');
    source.feed(last);
    source.consume(source.line(99) + 1);
    const body = source.take(99)!;
    expect(body.toString()).toBe('body');
    expect(body.buffer).toBe(last.buffer);
    expect(body.byteOffset).toBe(last.byteOffset + 2);
    expect(source.offsetOf(source.start)).toBe('ab\nbody'.length);
  });

  test('come at most as many as asked for, a chunk at a time', () => {
    const source = fed('abc', 'de');
    expect(
      [source.take(2), source.take(2), source.take(9), source.take(9)].map((view) => view?.toString() ?? null),
    ).toEqual(['ab', 'c', 'de', null]);
    expect(source.empty).toBe(true);
  });

  test('that were read are not held on to', () => {
    const source = fed('GET\n');
    source.consume(source.line(99) + 1);
    expect(source.bytes).toHaveLength(0);
    source.feed(latin1('ab'));
    source.take(2);
    expect(source.bytes).toHaveLength(0);
  });
});

describe('all that is left', () => {
  test('is one view where it is one chunk', () => {
    const chunk = latin1('ab');
    const source = new ByteSource();
    source.feed(chunk);
    expect(source.drain().buffer).toBe(chunk.buffer);
    expect(source.empty).toBe(true);
  });

  test('is in order, in the middle of a gathered section too', () => {
    const source = fed('xa', 'b');
    source.consume(1);
    expect(source.line(99)).toBe(NEED_MORE);
    source.feed(latin1('c'));
    source.feed(latin1('d'));
    expect(source.drain().toString()).toBe('abcd');
    source.feed(latin1('e'));
    expect(source.offsetOf(source.start)).toBe(5);
    expect(source.take(9)?.toString()).toBe('e');
  });
});
