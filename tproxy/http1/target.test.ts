import {describe, expect, test} from '@jest/globals';
import {isAuthority, targetForm, targetParts} from './target.ts';
import type {TargetParts} from './target.ts';

describe('a target taken apart, as written', () => {
  const parts = (
    scheme: TargetParts['scheme'],
    authority: string | null,
    path: string,
    query: string | null,
  ): TargetParts => ({scheme, authority, path, query});
  const cases: [target: string, parts: TargetParts, method?: string][] = [
    ['/', parts(null, null, '/', null)],
    ['/a%2Fb;c?d?e=%41', parts(null, null, '/a%2Fb;c', 'd?e=%41')],
    ['/?', parts(null, null, '/', '')],
    ['//evil.test/a', parts(null, null, '//evil.test/a', null)],
    ['http://A.test:80/B?c', parts('http', 'A.test:80', '/B', 'c')],
    ['HTTPS://a.test', parts('https', 'a.test', '/', null)],
    ['http://a.test?b/c', parts('http', 'a.test', '/', 'b/c')],
    ['http://[::1]:80/a', parts('http', '[::1]:80', '/a', null)],
    ['http://a.test', parts('http', 'a.test', '*', null), 'OPTIONS'],
    ['http://a.test/', parts('http', 'a.test', '/', null), 'OPTIONS'],
    ['http://a.test?b', parts('http', 'a.test', '/', 'b'), 'OPTIONS'],
    ['*', parts(null, null, '*', null), 'OPTIONS'],
    ['a.test:443', parts(null, 'a.test:443', '', null), 'CONNECT'],
  ]; // prettier-ignore
  test.each(cases)('%s', (target, taken, method = 'GET') => {
    const form = targetForm(method, target);
    expect(form).not.toBeNull();
    expect(targetParts({form: form!, target, method})).toEqual(taken);
  });
});

describe('host[:port]', () => {
  test.each(['a', 'a.test', 'a.test.', 'A_b-c.test:1', '1.2.3.4:65535', '[::1]', '[2001:db8::1.2.3.4]:443'])(
    '%s is one',
    (text) => {
      expect(isAuthority(text, 0, text.length, 'optional')).toBe(true);
    },
  );
  test.each([
    '',
    ':80',
    'a:',
    'a:0',
    'a:080',
    'a:65536',
    'a:100000',
    'a:+1',
    'a b',
    'a@b',
    'a/',
    'a\\b',
    'a%41',
    'a,b',
    '[]',
    '[:]',
    '[::1',
    '::1',
    '[::1]a',
    '[::1]80',
    '[v1.a]',
    '[::1%25lo]',
    'a\u0130',
    '\u212a.test',
  ])('%j is none', (text) => {
    expect(isAuthority(text, 0, text.length, 'optional')).toBe(false);
  });
  test('where a port is required, it must be there', () => {
    expect(isAuthority('a.test', 0, 6, 'required')).toBe(false);
    expect(isAuthority('a.test:1', 0, 8, 'required')).toBe(true);
  });
});
