import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {glob as referenceGlob} from '../../test/reference/texts.ts';
import {foldGlob, matchGlob, parsePathGlob, parseValueGlob, type Glob} from './globs.ts';

const path = (text: string): Glob => {
  const parsed = parsePathGlob(text);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.glob;
};
const value = (text: string): Glob => {
  const parsed = parseValueGlob(text);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.glob;
};

describe('path globs', () => {
  test.each([
    ['/a/**', '/a/', true],
    ['/a/**', '/a/b/c', true],
    ['/a/**', '/a', false],
    ['/a/**', '/ab/c', false],
    ['/a/*', '/a/', true],
    ['/a/*', '/a/b', true],
    ['/a/*', '/a/b/c', false],
    ['/a/*/c', '/a/b/c', true],
    ['/a/*/c', '/a/b/b/c', false],
    ['/a/**/c', '/a/b/b/c', true],
    ['/a/**/c', '/a/c', false],
    ['/**/x*.json', '/a/b/x1.json', true],
    ['/**/x*.json', '/a/x/b.json', false],
    ['**', '*', true],
    ['/a', '/a', true],
    ['/a', '/a/', false],
    ['/a.b', '/axb', false],
    ['/%61%2f', '/a%2F', true],
    ['/ü b', '/%C3%BC%20b', true],
  ])('%s on %s is %s', (glob, text, expected) => expect(matchGlob(path(glob), text)).toBe(expected));
  test.each([
    ['a question mark', '/a?', /glob language/],
    ['a class', '/[ab]', /glob language/],
    ['alternatives', '/{a,b}', /glob language/],
    ['three stars', '/***', /three stars/],
    ['no slash', 'a/**', /begins with a slash/],
    ['a star alone', '*', /begins with a slash/],
    ['a fragment', '/a#b', /fragment/],
    ['a lone percent', '/100%', /percent/],
    ['an escaped control character', '/a%0a', /control/],
    ['a control character', '/a\tb', /control/],
    ['a page of text', `/${'a'.repeat(3000)}`, /longer than/],
  ])('refused with a fix: %s', (_, text, message) => {
    expect(parsePathGlob(text)).toMatchObject({
      ok: false,
      message: expect.stringMatching(message),
      fix: expect.stringMatching(/\w/),
    });
  });
  test('what stands before the first star', () => {
    expect(path('/a/b*/c')).toMatchObject({prefix: '/a/b', exact: false});
    expect(path('/a')).toMatchObject({prefix: '/a', exact: true});
  });
  test('agrees with a regular expression', () => {
    const piece = fc.constantFrom('/', 'a', 'b', '*', '**', '.', 'A');
    fc.assert(
      fc.property(
        fc.array(piece, {maxLength: 9}),
        fc.array(fc.constantFrom('/', 'a', 'b', '.', 'A'), {maxLength: 10}),
        (pieces, chars) => {
          const parsed = parsePathGlob(`/${pieces.join('')}`);
          if (!parsed.ok) return;
          const text = `/${chars.join('')}`;
          expect(matchGlob(parsed.glob, text)).toBe(referenceGlob(parsed.glob.text, text, true, false));
          expect(matchGlob(foldGlob(parsed.glob), text.toLowerCase())).toBe(
            referenceGlob(parsed.glob.text, text, true, true),
          );
        },
      ),
      {numRuns: 5000},
    );
  });
  test('a text that would make backtracking explode is answered', () => {
    const glob = path(`/${'**a*b'.repeat(40)}c`);
    expect(matchGlob(glob, `/${'a'.repeat(20_000)}`)).toBe(false);
  });
});

describe('value globs', () => {
  test.each([
    ['assets*', 'assets-1/2', true],
    ['*docs', 'my docs', true],
    ['a*b*c', 'a1b2c', true],
    ['a*b*c', 'acb', false],
    ['', '', true],
    ['', 'x', false],
    ['*', '', true],
  ])('%s on %s is %s', (glob, text, expected) => expect(matchGlob(value(glob), text)).toBe(expected));
});
