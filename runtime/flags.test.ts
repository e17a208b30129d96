import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, describe, expect, test} from '@jest/globals';
import {helpText, parseFlags, type FlagTable} from './flags.ts';

const TABLE = {
  policy: {kind: 'list', value: 'PATH', help: 'policies'},
  listen: {kind: 'text', value: 'ADDR:PORT', help: 'where'},
  verbose: {kind: 'switch', help: 'say more'},
  config: {kind: 'text', value: 'FILE', help: 'file'},
} as const satisfies FlagTable;

const dir = mkdtempSync(join(tmpdir(), 'sallyport-flags-'));
afterAll(() => rmSync(dir, {recursive: true}));

function file(text: string): string {
  const path = join(dir, `${Math.abs(text.length * 31 + text.charCodeAt(0))}.yaml`);
  writeFileSync(path, text);
  return path;
}
const parse = (argv: string[], env: Record<string, string> = {}) =>
  parseFlags('role', TABLE, {argv, env, configFlag: 'config'});

describe('a setting', () => {
  test('is taken from the flag before the variable before the file', () => {
    const config = file('listen: from-file\npolicy: [file-a]\n');
    const env = {SALLYPORT_LISTEN: 'from-env', SALLYPORT_POLICY: 'env-a,env-b'};
    expect(parse(['--config', config, '--listen', 'from-flag'], env).settings.listen).toBe('from-flag');
    expect(parse(['--config', config], env).settings.listen).toBe('from-env');
    expect(parse(['--config', config]).settings.listen).toBe('from-file');
    expect(parse([]).settings.listen).toBeNull();
    expect(parse(['--config', config], env).settings.policy).toEqual(['env-a', 'env-b']);
  });
  test('may be given many times or comma-separated where it is a list', () => {
    expect(parse(['--policy', 'a', '--policy', 'b,c']).settings.policy).toEqual(['a', 'b', 'c']);
  });
  test('says where it came from', () => {
    const parsed = parse([], {SALLYPORT_LISTEN: 'x'});
    expect([parsed.origin('listen'), parsed.origin('policy')]).toEqual(['SALLYPORT_LISTEN', '--policy']);
  });
});

describe('a wrong setting is refused with what to write instead', () => {
  const cases: [string, string[], Record<string, string>, string, string][] = [
    ['an unknown flag', ['--lisen', 'x'], {}, 'unknown flag --lisen', 'Did you mean --listen?'],
    ['a flag without its value', ['--listen'], {}, '--listen needs a value', 'Write --listen ADDR:PORT.'],
    ['a switch with a value', ['--verbose=yes'], {}, '--verbose takes no value', 'Write --verbose alone.'],
    ['a stray argument', ['stray'], {}, 'unexpected argument "stray"', '--help'],
    [
      'a switch variable that is neither',
      [],
      {SALLYPORT_VERBOSE: 'maybe'},
      'SALLYPORT_VERBOSE is "maybe"',
      'Write true or false.',
    ],
    ['a config file that is not there', ['--config', '/nowhere.yaml'], {}, '/nowhere.yaml', 'readable YAML'],
  ];
  test.each(cases)('%s', (_, argv, env, message, fix) => {
    expect(() => parse(argv, env)).toThrow(
      expect.objectContaining({message: expect.stringContaining(message), fix: expect.stringContaining(fix)}),
    );
  });
  test('an unknown key of the file', () => {
    const config = file('lissten: x\n');
    expect(() => parse(['--config', config])).toThrow(
      expect.objectContaining({message: expect.stringContaining('unknown key "lissten"'), fix: 'Did you mean listen?'}),
    );
  });
  test('a key of the wrong kind', () => {
    expect(() => parse(['--config', file('listen: [a]  \n')])).toThrow(/listen in .* has the wrong kind/);
  });
});

test('the help names every flag with its value', () => {
  const text = helpText('role', 'does it', TABLE);
  for (const part of ['--policy PATH ...', '--listen ADDR:PORT', '--verbose', 'SALLYPORT_*'])
    expect(text).toContain(part);
});
