/**
 * `npm run fuzz`: changes inputs and reads them, guided by the coverage of the code that reads.
 *   npm run fuzz [-- --time SECONDS] [--target NAME] [--seed N] [--markdown FILE]
 * Without --target every target gets the time. What is found is made small, written to the target's found.txt, and printed
 * with a test to pin it; the exit code is then 1. --markdown: where the target `framing` writes its table of known variants.
 */
import {spawn} from 'node:child_process';
import {parseArgs} from 'node:util';
import {asLine, readCorpus, writeCorpus} from './corpus.ts';
import {fuzz} from './engine.ts';
import type {Report} from './engine.ts';
import type {Target} from './target.ts';
import {framing, framingOfResponses} from './framing/main.ts';
import {TARGETS} from './targets/index.ts';

const DEFAULT_SECONDS = 60;
/** Those that are no functions of bytes: they ask other programs. */
const FRAMING = 'framing';
const FRAMING_RESPONSES = 'framing-responses';

const {values} = parseArgs({
  options: {
    time: {type: 'string'},
    target: {type: 'string'},
    seed: {type: 'string'},
    one: {type: 'boolean'},
    markdown: {type: 'string'},
  },
});
const seconds = number('time', values.time, DEFAULT_SECONDS);
const seed = number('seed', values.seed, Date.now() % 1_000_000_007);
const names = [...TARGETS.map(({name}) => name), FRAMING, FRAMING_RESPONSES];
const chosen = names.filter((name) => values.target === undefined || name === values.target);
if (chosen.length === 0) usage(`no target is called ${JSON.stringify(values.target)}; there are ${names.join(', ')}`);

if (values.one === true) await one(chosen[0]!);
console.log(`seed ${seed}, ${seconds} s each`);
console.log(
  '| target | reads | executions | inputs kept | kinds | coverage | peak MB | found |\n|---|---|---|---|---|---|---|---|',
);
let failed = 0;
// Each in a process of its own: what ran before is compiled without counters, and one that hangs takes no other with it.
for (const name of chosen) failed += await inOwnProcess(name);
process.exitCode = failed === 0 ? 0 : 1;

function inOwnProcess(name: string): Promise<number> {
  const argv = [
    import.meta.filename,
    '--one',
    '--target',
    name,
    '--time',
    String(seconds),
    '--seed',
    String(seed),
    ...(values.markdown === undefined ? [] : ['--markdown', values.markdown]),
  ];
  return new Promise((resolve) =>
    spawn(process.execPath, argv, {stdio: 'inherit'}).on('exit', (code) => resolve(code === 0 ? 0 : 1)),
  );
}

async function one(name: string): Promise<void> {
  if (name === FRAMING) process.exit((await framing(seconds, seed, values.markdown ?? null)) === 0 ? 0 : 1);
  if (name === FRAMING_RESPONSES) process.exit((await framingOfResponses(seconds, seed)) === 0 ? 0 : 1);
  const target = TARGETS.find((target) => target.name === name)!;
  const report = await fuzz(target, readCorpus(target.name, 'inputs'), {seconds, seed});
  if (report.corpus.length > 0) writeCorpus(target.name, 'inputs', report.corpus);
  const {coverage, executions, corpus, kinds, found} = report;
  const megabytes = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(
    `| ${[target.name, target.reads, executions, corpus.length, kinds, `${Math.round(coverage * 100)} %`, megabytes, found.length].join(' | ')} |`,
  );
  tell(target, report);
  process.exit(found.length === 0 ? 0 : 1);
}

/** What was found, with a test that pins it. */
function tell({name}: Target, {found}: Report): void {
  if (found.length === 0) return;
  writeCorpus(name, 'found', [...readCorpus(name, 'found'), ...found.map(({input}) => input)]);
  for (const {input, message} of found)
    console.log(
      [
        '',
        `${name}: ${message}`,
        'Pinned, beside the code, once it is known what it should do:',
        `  test('...', () => expect(read(Buffer.from(${asLine(input)}, 'latin1'))).toEqual(...));`,
        '',
      ].join('\n'),
    );
}

function number(flag: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^\d{1,9}$/.test(text)) usage(`--${flag} takes a whole number, not ${JSON.stringify(text)}`);
  return Number(text);
}

function usage(message: string): never {
  console.error(message);
  process.exit(2);
}
