import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {lastUri} from './xfcc.ts';

const A = 'spiffe://cluster.local/ns/a/sa/a';
const B = 'spiffe://cluster.local/ns/b/sa/b';

describe('the last element', () => {
  test.each<[string, string[], string | null]>([
    ['is the one that is there', [`By=${B};URI=${A}`], A],
    ['is the last of a line', [`URI=${A},By=x;URI=${B}`], B],
    ['is the last of the last line', [`URI=${B}`, `URI=${A}`], A],
    ['has its keys in any letter case', [`uri=${A}`], A],
    ['has quoted values', [`Subject="CN=x, URI=${B}; O=\\"y\\"";URI="${A}"`], A],
    ['has white space around', [` Hash=1 ; URI=${A} `], A],
    ['has no URI', [`By=${A};Hash=1`], null],
    ['has an empty URI', ['URI='], null],
    ['has two URIs', [`URI=${A};URI=${B}`], null],
    ['has an open quote', [`URI="${A}`], null],
    ['has an escape in its URI', [`URI="${A}\\""`], null],
    ['has a pair without a key', [`${A}`], null],
    ['is empty, after a comma', [`URI=${A},`], null],
    ['is in no line', [], null],
  ])('%s', (_, lines, uri) => expect(lastUri(lines)).toBe(uri));
});

test('what a client writes in front, or into what a proxy quotes, is never taken for the proxy’s word', () => {
  const quoted = (text: string): string => `"${text.replace(/[\\"]/g, '\\$&')}"`;
  const unit = fc.constantFrom('"', '\\', ',', ';', '=', 'URI', B, ' ');
  fc.assert(
    fc.property(
      fc.array(unit).map((parts) => parts.join('')),
      fc.array(unit).map((parts) => parts.join('')),
      (front, subject) => {
        // Envoy appends its own element to the line that came, or sends it as a line of its own.
        expect(lastUri([front, `Hash=1;Subject=${quoted(subject)};URI=${A}`])).toBe(A);
        expect([A, null]).toContain(lastUri([`${front},Subject=${quoted(subject)};URI=${A}`]));
      },
    ),
  );
});
