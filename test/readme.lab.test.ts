/** The README's commands, as they are written there. */
import {spawn, spawnSync} from 'node:child_process';
import {createInterface} from 'node:readline';
import {mkdtempSync, readFileSync, rmSync, symlinkSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, expect, test} from '@jest/globals';
import {labTest} from './lab/require.ts';

const root = join(import.meta.dirname, '..');
const lines = readFileSync(join(root, 'README.md'), 'utf8')
  .replaceAll('\\\n', ' ')
  .split('\n')
  .filter((line) => /^(npx sallyport|HTTPS_PROXY=)/.test(line));
const line = (start: string): string => {
  const found = lines.filter((one) => one.startsWith(start));
  expect(found).toHaveLength(1);
  // What npx finds is the checkout's own command; a registry is not asked in a test.
  return found[0]!.replace('npx sallyport', `${process.execPath} ${join(root, 'cli/sallyport.mjs')}`);
};
// Samples are found as from the checkout, and what the commands leave behind is not left in it.
const dir = mkdtempSync(join(tmpdir(), 'sallyport-readme-'));
symlinkSync(join(root, 'samples'), join(dir, 'samples'));
afterAll(() => rmSync(dir, {recursive: true}));
const run = (command: string) => spawnSync('sh', ['-c', command], {cwd: dir, encoding: 'utf8'});

test('check finds the samples valid', () => {
  const {status, stdout} = run(line('npx sallyport check'));
  expect([status, stdout]).toEqual([0, expect.stringContaining('0 errors')]);
});

test('explain names the verdict and why the rule did not match', () => {
  const {status, stdout} = run(line('npx sallyport explain'));
  expect(stdout).toMatch(/^DENIED {2}NoRuleMatched/);
  expect(stdout).toMatch(/public-assets .*paths .* do not match/);
  expect(status).toBe(1);
});

labTest('curl')(
  'the proxy without root answers a program that was told of it, and explain finds the denial id',
  async () => {
    const flags = line(
      'npx sallyport tproxy --policy samples/policies/storage-only.yaml --workloads samples/workloads-local.yaml',
    );
    const proxy = spawn('sh', ['-c', `exec ${flags}`], {cwd: dir, stdio: ['ignore', 'pipe', 'inherit']});
    const log: string[] = [];
    const waiting = new Map<string, () => void>();
    createInterface({input: proxy.stdout}).on('line', (text) => {
      log.push(text);
      for (const [part, resolve] of waiting) if (text.includes(part)) resolve();
    });
    const said = (part: string): Promise<void> =>
      log.some((text) => text.includes(part))
        ? Promise.resolve()
        : new Promise((resolve) => waiting.set(part, resolve));
    try {
      await said('tproxy.listening');
      const curl = run(`${line('HTTPS_PROXY=')} -sS -i`);
      expect(curl.stdout).toContain('Access Denied by Administrator');
      const id = /^x-sallyport-denial: (\w+)/im.exec(curl.stdout)?.[1];
      await said(`"id":"${id}"`);
      const explain = spawnSync(process.execPath, [join(root, 'cli/sallyport.mjs'), 'explain', id!, '--log', '-'], {
        input: log.join('\n'),
        encoding: 'utf8',
      });
      expect(explain.stdout).toContain('NoRuleMatched');
      expect(explain.status).toBe(0);
    } finally {
      const gone = new Promise((resolve) => proxy.once('exit', resolve));
      proxy.kill('SIGTERM');
      await gone;
    }
  },
  30_000,
);
