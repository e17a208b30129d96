/** samples/istio: what is checked in is what the commands of each README make. UPDATE_GOLDEN=1 writes it. */
import {readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {describe, expect, test} from '@jest/globals';
import {main} from '../cli/main.ts';

const root = fileURLToPath(new URL('../samples/istio/', import.meta.url));
const COMMAND = /^sallyport (mesh-config generate .*) > (\S+)$/gm;

const commands = readdirSync(root, {withFileTypes: true})
  .filter((entry) => entry.isDirectory())
  .flatMap(({name}) =>
    [...readFileSync(join(root, name, 'README.md'), 'utf8').matchAll(COMMAND)].map(
      ([, command, file]) => [name, file!, command!] as const,
    ),
  );

describe('samples/istio', () => {
  test.each(commands)('%s/%s is made by sallyport %s', async (folder, file, command) => {
    const said = {stdout: '', stderr: ''};
    const argv = command.split(' ').map((word) => (word.endsWith('.yaml') ? join(root, folder, word) : word));
    const code = await main(argv, {
      stdout: (text) => void (said.stdout += text),
      stderr: (text) => void (said.stderr += text),
    });
    expect([code, said.stderr]).toEqual([0, '']);
    const golden = join(root, folder, file);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, said.stdout);
    expect(said.stdout).toBe(readFileSync(golden, 'utf8'));
  });

  test('every generated file has its command', () => {
    const made = commands.map(([folder, file]) => `${folder}/${file}`).sort();
    const there = readdirSync(root, {recursive: true, encoding: 'utf8'}).filter((path) =>
      /(istio|istiod-values)\.yaml$/.test(path),
    );
    expect(made).toEqual(there.sort());
  });

  test.each(readdirSync(root, {withFileTypes: true}).filter((entry) => entry.isDirectory()))(
    'sallyport check finds nothing in what $name has by hand',
    async ({name}) => {
      const said = {stdout: '', stderr: ''};
      const files = ['mesh-egress.yaml', 'policy.yaml'].flatMap((file) => ['-f', join(root, name, file)]);
      const code = await main(['check', '--strict', ...files], {
        stdout: (text) => void (said.stdout += text),
        stderr: (text) => void (said.stderr += text),
      });
      expect([code, said.stderr]).toEqual([0, '']);
    },
  );
});
