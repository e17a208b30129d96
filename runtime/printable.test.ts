import {expect, test} from '@jest/globals';
import {MAX_LOGGED_CHARS, printable} from './printable.ts';

test.each([
  ['plain text stays', 'GET /a?b', 'GET /a?b'],
  ['a line feed cannot start a line of its own', 'a\nb', 'a\\x0ab'],
  ['an escape sequence cannot paint a terminal', '\u001b[31m', '\\x1b[31m'],
  ['a backslash is told from an escape', 'a\\x0a', 'a\\\\x0a'],
  ['a right-to-left override is visible', 'a\u202eb', 'a\\u{202e}b'],
  ['DEL and Latin-1 controls too', '\u007f\u0085', '\\x7f\\x85'],
])('%s', (_, text, expected) => expect(printable(text)).toBe(expected));

test('what is too long is cut, and says how long it was', () => {
  expect(printable('x'.repeat(MAX_LOGGED_CHARS + 1))).toBe(
    `${'x'.repeat(MAX_LOGGED_CHARS)}...(${MAX_LOGGED_CHARS + 1} characters)`,
  );
});
