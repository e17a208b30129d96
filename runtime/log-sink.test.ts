import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';
import {describe, expect, test} from '@jest/globals';
import {untornBytes} from './log-sink.ts';

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

describe('to a pipe that several processes share, a piece is', () => {
  const line = (length: number): string => `${'x'.repeat(length - 1)}\n`;
  test.each<[string, string, number, number]>([
    ['all, where it is short', line(100) + line(100), 0, 200],
    ['as many lines as fit into what is written undivided', line(1_000).repeat(6), 0, 4_000],
    ['the same from where the last piece ended', line(1_000).repeat(6), 4_000, 2_000],
    ['lines that fill it to the last byte', line(2_048).repeat(3), 0, 4_096],
    ['one line that is longer than any piece', line(10_000) + line(10), 0, 10_000],
    ['all that is left, where no line ends in it', 'x'.repeat(9_000), 0, 9_000],
  ])('%s', (_title, text, at, expected) => {
    expect(untornBytes(Buffer.from(text), at)).toBe(expected);
  });
});

test('lines of two processes that share a pipe are never mixed', async () => {
  const program = `
    const {createLineWriter} = await import(${JSON.stringify(OUTPUT)});
    const lines = createLineWriter(1);
    for (let i = 0; i < 4000; i++) lines.line(process.argv[1].repeat(300 + (i % 200)));
    lines.flush();
  `;
  const both = `"$0" -e '${program}' a & "$0" -e '${program}' b & wait`;
  const shell = spawn('sh', ['-c', `(${both}) | cat`, process.execPath], {stdio: ['ignore', 'pipe', 'inherit']});
  let text = '';
  shell.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
  await once(shell, 'close');
  const lines = text.split('\n').slice(0, -1);
  expect(new Set(lines.map((one) => one[0]))).toEqual(new Set(['a', 'b']));
  expect(lines.filter((one) => one !== one[0]!.repeat(one.length))).toEqual([]);
}, 30_000);
