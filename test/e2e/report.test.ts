import {describe, expect, test} from '@jest/globals';
import {Report, withTables} from './report.ts';

const ALL = '<!-- e2e: begin (npm run e2e) -->';
const ATTACK = '<!-- e2e: begin "Attack" (npm run e2e -- attack) -->';
const END = '<!-- e2e: end -->';

async function ran(): Promise<Report> {
  const report = new Report(() => undefined);
  report.suite('Life');
  await report.step('goes on', () => Promise.resolve('3 requests'));
  report.suite('Attack');
  await report.step('as it is', () => Promise.reject(new Error('a|b arrived')));
  report.table(['way', 'as it is'], [['ping', 'open']]);
  return report;
}

describe('the tables of a run', () => {
  test('take the place of the last run’s, with what failed', async () => {
    const text = withTables(`before\n${ALL}\nold\n${END}\nafter\n`, await ran());
    expect(text.startsWith(`before\n${ALL}\n`)).toBe(true);
    expect(text.endsWith(`${END}\nafter\n`)).toBe(true);
    expect(text).not.toContain('old');
    expect(text).toMatch(/^\| goes on \| yes \| [0-9.]+ \| 3 requests \|$/m);
    expect(text).toMatch(/^\| as it is \| NO \| [0-9.]+ \| a\\\|b arrived \|$/m);
    expect(text).toContain('| ping | open |');
  });

  test('a place that names a suite has what that suite compares, and keeps it where it was not run', async () => {
    const document = `${ATTACK}\nold\n${END}\n`;
    expect(withTables(document, await ran())).toBe(
      `${ATTACK}\n\n| way | as it is |\n|---|---|\n| ping | open |\n\n${END}\n`,
    );
    expect(withTables(document, new Report(() => undefined))).toBe(document);
  });

  test('a document without a place is refused', async () => {
    const report = await ran();
    expect(() => withTables('nothing', report)).toThrow(/there is no place for the tables/);
  });
});
