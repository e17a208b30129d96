import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';
import {expect, test} from '@jest/globals';

const OUTPUT = fileURLToPath(new URL('./output.ts', import.meta.url));
const PROGRAM = `
  const {createLineWriter} = await import(${JSON.stringify(OUTPUT)});
  const lines = createLineWriter(1);
  for (let i = 0; i < 3000; i++) lines.line('x'.repeat(1023));
  lines.flush();
`;

// A pipe of child_process is a socket, as is journald's.
test('a process whose log is a socket that nobody reads from ends all the same, and wrote what fitted', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM], {stdio: ['ignore', 'pipe', 'inherit']});
  const [code] = (await once(child, 'exit')) as [number | null];
  expect(code).toBe(0);
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  expect(text).toMatch(/^(x{1023}\n)+x*$/);
  expect(text.length).toBeLessThan(3000 * 1024);
}, 20_000);
