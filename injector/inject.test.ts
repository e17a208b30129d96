import {readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect, test} from '@jest/globals';
import {inject as command} from '../cli/inject.ts';

const FOLDER = join(import.meta.dirname, 'testdata');
const inputs = readdirSync(FOLDER).filter(
  (name) => !name.endsWith('.injected.yaml') && name !== 'installation.yaml' && name !== 'proxies.yaml',
);

/** What the command prints for a file of the folder. */
async function injected(file: string): Promise<{code: number; stdout: string; stderr: string}> {
  let stdout = '';
  let stderr = '';
  const code = await command(
    ['-f', file, '--config', join(FOLDER, 'installation.yaml'), '--policy', join(FOLDER, 'proxies.yaml')],
    {stdout: (text) => void (stdout += text), stderr: (text) => void (stderr += text)},
  );
  return {code, stdout, stderr};
}

describe('golden pairs, x.yaml and x.injected.yaml (UPDATE_GOLDEN=1 writes them)', () => {
  test.each(inputs)('%s', async (name) => {
    const {code, stdout, stderr} = await injected(join(FOLDER, name));
    expect(code).toBe(0);
    const golden = join(FOLDER, name.replace('.yaml', '.injected.yaml'));
    const text = stdout + stderr.replaceAll(/^/gm, '# ').replace(/# $/, '');
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, text);
    expect(text).toBe(readFileSync(golden, 'utf8'));
  });

  test.each(inputs)('%s injected twice is injected once', async (name) => {
    const golden = join(FOLDER, name.replace('.yaml', '.injected.yaml'));
    const {stdout} = await injected(golden);
    const once = readFileSync(golden, 'utf8').replaceAll(/^# .*\n?/gm, '');
    expect(stdout).toBe(once);
  });
});
