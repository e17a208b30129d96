/** `npm run check`: types, lint and format, side by side; all of their output, then one verdict. */
import {spawn} from 'node:child_process';

const CHECKS = {
  types: ['tsc', '-p', 'tsconfig.json'],
  lint: ['eslint', '.', '--max-warnings', '0'],
  format: ['prettier', '--check', '--log-level', 'warn', '.'],
} as const;

const results = await Promise.all(
  Object.entries(CHECKS).map(
    ([name, [command, ...args]]) =>
      new Promise<{name: string; ok: boolean; output: string}>((resolve) => {
        const child = spawn(`node_modules/.bin/${command}`, args, {stdio: ['ignore', 'pipe', 'pipe']});
        let output = '';
        child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
        child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
        child.on('close', (code) => resolve({name, ok: code === 0, output}));
      }),
  ),
);
for (const {name, ok, output} of results) {
  process.stdout.write(output);
  console.log(`${name}: ${ok ? 'ok' : 'FAIL'}`);
}
process.exitCode = results.every(({ok}) => ok) ? 0 : 1;
