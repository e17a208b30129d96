import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {queries, readings} from '../../test/reference/texts.ts';
import {readPath, readQuery} from './readings.ts';

const texts = (path: string): readonly string[] => {
  const read = readPath(path);
  if (!read.ok) throw new Error(read.message);
  return read.texts;
};

describe('readings of a path', () => {
  test.each<[string, string[]]>([
    ['/a/b', ['/a/b']],
    ['/a..b/.well-known/...', ['/a..b/.well-known/...']],
    ['/%61/b', ['/a/b']],
    ['/a%2fb', ['/a%2Fb', '/a/b']],
    ['/a//b', ['/a//b', '/a/b']],
    ['/a/../b', ['/a/../b', '/b']],
    ['/a/.', ['/a/.', '/a/']],
    ['/..', ['/..', '/']],
    ['/a;x=1/b', ['/a;x=1/b', '/a/b']],
    ['/a\\b', ['/a\\b', '/a/b']],
    ['/100%25', ['/100%25']],
    ['/a%20b', ['/a%20b']],
  ])('of %s', (path, expected) => expect(texts(path)).toEqual(expected));
  test('more readings than are judged are refused', () => {
    const path = '/%2561%2f\\%5c;a//b/../c%252f%255c;d//e/%252e%252e/f';
    expect(readPath(path)).toMatchObject({
      ok: false,
      ambiguous: true,
      message: expect.stringContaining('more than 64'),
    });
  });
  test('the literal one is the first', () => {
    expect(texts('/x/%2e%2e;/y%252f')[0]).toBe('/x/..;/y%252f');
  });
  test.each([
    ['%00', true],
    ['%1f', true],
    ['%7F', true],
    ['%zz', true],
    ['%2', true],
    ['%c0%af', true],
    ['%e0%80%af', true],
    ['%f0%80%80%af', true],
    ['%2500', true],
    ['%25c0%25af', true],
    ['\x01', true],
    [' ', false],
    ['#', false],
  ])('/a%s is refused', (text, ambiguous) => expect(readPath(`/a${text}`)).toMatchObject({ok: false, ambiguous}));
  test.each(['%C3%BC', '%E9', '%e2%82%ac', '%F0%9F%98%80'])('/a%s is not', (text) =>
    expect(readPath(`/a${text}`).ok).toBe(true),
  );
  test('agrees with the reference on every path', () => {
    const piece = fc.constantFrom(
      '/',
      '//',
      '.',
      '..',
      'a',
      'B',
      ';',
      ';v=1',
      '\\',
      '%2f',
      '%2F',
      '%5c',
      '%2e',
      '%25',
      '%252f',
      '%252e',
      '%3b',
      '%41',
      '%00',
      '%c0',
      '%af',
      '%',
      '%C3%BC',
    );
    fc.assert(
      fc.property(fc.array(piece, {maxLength: 8}), (pieces) => {
        const path = `/${pieces.join('')}`;
        const ours = readPath(path);
        const theirs = readings(path);
        if (typeof theirs === 'string') expect(ours).toMatchObject({ok: false, ambiguous: theirs === 'AmbiguousPath'});
        else
          expect({ok: ours.ok, texts: ours.ok && [...ours.texts].sort(), first: ours.ok && ours.texts[0]}).toEqual({
            ok: true,
            texts: [...theirs].sort(),
            first: theirs[0],
          });
      }),
      {numRuns: 5000},
    );
  });
});

test('queries agree with the reference', () => {
  const piece = fc.constantFrom('a', 'b', '=', '&', ';', '+', '%3D', '%26', '%3B', '%2B', 'x');
  fc.assert(
    fc.property(fc.array(piece, {maxLength: 10}), (pieces) => {
      const query = pieces.join('');
      expect(readQuery(query).map((one) => [...one])).toEqual(queries(query).map((one) => [...one]));
    }),
    {numRuns: 3000},
  );
});

test('what is no escape in a query stays as it is, and bytes that are no UTF-8 never throw', () => {
  expect(readQuery('a=%zz')[0]!.get('a')).toEqual(['%zz']);
  expect(readQuery('a=%ff')[0]!.get('a')).toEqual(['\ufffd']);
});
