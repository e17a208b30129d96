import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import {check} from './check.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-check-'));
  mkdirSync(join(folder, 'deep'));
  mkdirSync(join(folder, 'none'));
  writeFileSync(join(folder, 'good.yaml'), policy('good', 'name: r, to: {hosts: [a.test]}'));
  writeFileSync(join(folder, 'deep', 'warned.yml'), policy('warned', 'name: r, to: {hosts: [a.test]}, via: nobody'));
  writeFileSync(
    join(folder, 'bad.json'),
    JSON.stringify({
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'EgressPolicy',
      metadata: {name: 'bad', namespace: 'b'},
      spec: {podSelector: {}, rules: [{name: 'r', to: {}}]},
    }),
  );
  writeFileSync(join(folder, 'notes.txt'), 'not: a policy');
});
afterAll(() => rmSync(folder, {recursive: true, force: true}));

function policy(name: string, rule: string): string {
  return `apiVersion: sallyport.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: ${name}, namespace: b}\nspec: {podSelector: {}, rules: [{${rule}}]}\n`;
}

async function run(argv: string[], stdin = ''): Promise<{code: number; stdout: string}> {
  let stdout = '';
  const out = {stdout: (text: string) => void (stdout += text), stderr: () => {}};
  const code = await check(
    argv.map((arg) => arg.replace('@', folder)),
    out,
    () => stdin,
  );
  return {code, stdout: stdout.replaceAll(folder, '@')};
}

describe('sallyport check', () => {
  test('a valid file', async () => {
    expect(await run(['-f', '@/good.yaml'])).toEqual({
      code: 0,
      stdout: '0 errors, 0 warnings; 1 valid document with 1 rule in 1 file\n',
    });
  });

  test('a directory: every finding at its place, in the order of the files, and a summary', async () => {
    const {code, stdout} = await run(['--file', '@']);
    expect(code).toBe(1);
    expect(stdout.split('\n')).toEqual([
      expect.stringMatching(
        /^@\/bad\.json:1:\d+: error EmptyDestination: .*\(EgressPolicy b\/bad spec\.rules\[0\]\.to\)$/,
      ),
      expect.stringMatching(
        /^@\/deep\/warned\.yml:4:33: warning MissingUpstreamProxy: .*\(EgressPolicy b\/warned spec\.rules\[0\]\)$/,
      ),
      '1 error, 1 warning; 2 valid documents with 2 rules in 3 files',
      '',
    ]);
  });

  test.each<[string[], number]>([
    [['-f', '@/deep'], 0],
    [['-f', '@/deep', '--strict'], 1],
    [['-f', '@/good.yaml', '--strict'], 0],
    [['-f', '@/bad.json'], 1],
    [['@/good.yaml', '@/bad.json'], 1],
    [['-f', '@/good.yaml', '-f', '@/deep'], 0],
    [['--help'], 0],
  ])('%j exits %d', async (argv, code) => expect((await run(argv)).code).toBe(code));

  test('the same object in two files given apart', async () => {
    const {code, stdout} = await run(
      ['-f', '@/good.yaml', '-f', '-'],
      policy('good', 'name: r, to: {hosts: [a.test]}'),
    );
    expect(code).toBe(1);
    expect(stdout).toContain(
      '<stdin>:1:1: error DuplicateObject: EgressPolicy b/good is written before, at @/good.yaml:1.',
    );
  });

  test('json: the findings as they are', async () => {
    const {code, stdout} = await run(['-f', '-', '-o', 'json'], policy('p', 'name: r, to: {hosts: [1.2.3.4]}'));
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      findings: [
        {
          severity: 'error',
          code: 'BadHost',
          message: expect.stringContaining('IP address'),
          fix: expect.stringContaining('to.cidrs'),
          at: {file: '<stdin>', line: 4, column: 56},
          object: 'EgressPolicy b/p',
          path: 'spec.rules[0].to.hosts[0]',
        },
      ],
      summary: {files: 1, documents: 0, rules: 0, errors: 1, warnings: 0},
    });
  });

  test.each<[string[], string]>([
    [[], 'Usage: nothing to check. Write sallyport check -f PATH.'],
    [['--files', 'a'], 'Usage: unknown flag --files. Did you mean --file?'],
    [['-x', '-f', 'a'], 'Usage: unknown flag -x.'],
    [['-f'], 'Usage: -f needs a value.'],
    [['-f', 'a', '-o', 'xml'], 'Usage: -o "xml" is no format. Write text or json.'],
    [['-f', 'a', '--strict=yes'], 'Usage: --strict takes no value.'],
    [['-f', '@/gone.yaml'], 'PolicyUnreadable: '],
    [['-f', '@/none'], 'NothingToCheck: '],
  ])('%j is explained', async (argv, message) => {
    await expect(run(argv)).rejects.toMatchObject({name: 'SallyportError'});
    await run(argv).catch((error: {describe(): string}) => expect(error.describe()).toContain(message));
  });
});
