import {readFileSync} from 'node:fs';
import {describe, expect, test} from '@jest/globals';
import {KNOWN_OPEN} from './known.ts';
import {withTable} from './table.ts';
import {newToken, TOKEN} from './token.ts';
import {ATTEMPTS} from './ways/index.ts';

describe('the attempts', () => {
  test('are the table of docs/SECURITY.md (npm run escape -- --markdown docs/SECURITY.md writes it)', () => {
    const document = readFileSync(new URL('../../docs/SECURITY.md', import.meta.url), 'utf8');
    expect(withTable(document, ATTEMPTS)).toBe(document);
  });

  test('each have an id of their own, and a title that needs no other', () => {
    for (const texts of [ATTEMPTS.map(({id}) => id), ATTEMPTS.map(({id, title}) => `${id.split('-')[0]} ${title}`)])
      expect(texts.filter((text, n) => texts.indexOf(text) !== n)).toEqual([]);
  });

  test('what is known to be open is one of them', () => {
    const ids = ATTEMPTS.map(({id}) => id);
    expect([...KNOWN_OPEN.keys()].filter((id) => !ids.includes(id))).toEqual([]);
  });

  test('a document without a place for the table is an error, not a table at its end', () => {
    expect(() => withTable('# Security\n', ATTEMPTS)).toThrow('no place for the table');
  });
});

describe('a token', () => {
  test('is found in any text, also in upper case once that is made lower, and two behind one another', () => {
    const [one, other] = [newToken(), newToken()];
    expect(`x${one}.evil.test/${other}${one.toUpperCase()}`.toLowerCase().match(TOKEN)).toEqual([one, other, one]);
  });

  test('is no other', () => {
    expect(new Set(Array.from({length: 1000}, newToken)).size).toBe(1000);
  });
});
