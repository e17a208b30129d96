/** The packed tarball runs: below node_modules Node strips no types, so what is published must be JavaScript, and all of it. */
import {execFileSync, spawnSync} from 'node:child_process';
import {mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, expect, test} from '@jest/globals';

const root = join(import.meta.dirname, '..');
const dir = mkdtempSync(join(tmpdir(), 'sallyport-package-'));
const modules = join(dir, 'node_modules');
const command = join(modules, 'sallyport', 'cli', 'sallyport.mjs');
afterAll(() => rmSync(dir, {recursive: true, force: true}));

beforeAll(() => {
  const packed = execFileSync('npm', ['pack', '--json', '--pack-destination', dir], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [{filename}] = JSON.parse(packed.slice(packed.indexOf('[\n'))) as [{filename: string}];
  mkdirSync(modules);
  execFileSync('tar', ['-xzf', join(dir, filename), '-C', modules]);
  execFileSync('mv', [join(modules, 'package'), join(modules, 'sallyport')]);
  for (const name of readdirSync(join(root, 'node_modules')))
    if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name));
}, 60_000);

const run = (...argv: string[]) => spawnSync(process.execPath, [command, ...argv], {cwd: dir, encoding: 'utf8'});

test('sallyport check runs from the package', () => {
  const {status, stdout} = run('check', '-f', join(root, 'samples/policies'));
  expect(stdout).toMatch(/^0 errors/m);
  expect(status).toBe(0);
});
test('the tour by the explicit port runs from the package, filters included', () => {
  const {status, stdout} = run('demo', '--exit', '--no-root');
  expect(stdout).toMatch(/(\d+) of \1 as expected/);
  expect(status).toBe(0);
}, 60_000);
test('no TypeScript and no test is published', () => {
  const files = execFileSync('find', [join(modules, 'sallyport'), '-type', 'f'], {encoding: 'utf8'}).split('\n');
  expect(files.filter((file) => /\.ts$|\.test\.js$/.test(file) && !file.includes('/samples/'))).toEqual([]);
});
