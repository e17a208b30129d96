/**
 * `npm run mutants`: breaks one guard at a time in a copy of the tree and requires a test to notice. A guard that can be
 * removed without a failing test is not guarded.
 *   npm run mutants [-- NAME...] [--markdown FILE]
 */
import {cpus} from 'node:os';
import {spawn, execFileSync} from 'node:child_process';
import {cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {parseArgs} from 'node:util';
import {MUTANTS, type Mutant} from './mutants.ts';

/** A mutant that makes a test hang is noticed too, by the clock. */
const TIMEOUT_MS = 120_000;

interface Outcome {
  readonly mutant: Mutant;
  /** The first test that failed; null: it survived. */
  readonly killedBy: string | null;
}

const {values, positionals} = parseArgs({allowPositionals: true, options: {markdown: {type: 'string'}}});
const chosen =
  positionals.length === 0 ? MUTANTS : MUTANTS.filter(({name}) => positionals.some((part) => name.includes(part)));
if (chosen.length === 0) {
  console.error(`no mutant is called ${positionals.join(' or ')}`);
  process.exit(2);
}
// A mutant whose text is no longer there breaks nothing; it has to be rewritten with the code.
const stale = chosen.filter(({file, find}) => readFileSync(file, 'utf8').split(find).length !== 2);
for (const {name, file} of stale) console.log(`STALE     ${name}: its text is not found exactly once in ${file}`);

const work = mkdtempSync(join(tmpdir(), 'sallyport-mutants-'));
const outcomes: Outcome[] = [];
try {
  const queue = chosen.filter((mutant) => !stale.includes(mutant));
  const lanes = Math.min(queue.length, Math.max(1, Math.min(4, cpus().length)));
  await Promise.all(
    Array.from({length: lanes}, async (_, lane) => {
      const tree = join(work, String(lane));
      copyTree(tree);
      for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
        const outcome = {mutant, killedBy: await tryMutant(tree, mutant)};
        outcomes.push(outcome);
        console.log(
          outcome.killedBy === null
            ? `SURVIVED  ${mutant.name} (${mutant.guards})`
            : `killed    ${mutant.name}: ${outcome.killedBy}`,
        );
      }
    }),
  );
} finally {
  rmSync(work, {recursive: true, force: true});
}
if (values.markdown !== undefined) writeFileSync(values.markdown, markdown(outcomes));
const survivors = outcomes.filter(({killedBy}) => killedBy === null).length + stale.length;
console.log(`\n${outcomes.length - survivors + stale.length} passed, ${survivors} failed, 0 skipped`);
process.exitCode = survivors === 0 ? 0 : 1;

/** The tracked and new files, without what git ignores; the packages are shared. */
function copyTree(tree: string): void {
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {encoding: 'utf8'})
    .split('\n')
    .filter(Boolean);
  for (const file of files) {
    mkdirSync(dirname(join(tree, file)), {recursive: true});
    cpSync(file, join(tree, file));
  }
  symlinkSync(join(process.cwd(), 'node_modules'), join(tree, 'node_modules'));
}

async function tryMutant(tree: string, {file, find, replace, tests}: Mutant): Promise<string | null> {
  const path = join(tree, file);
  const original = readFileSync(path, 'utf8');
  writeFileSync(
    path,
    original.replace(find, () => replace),
  );
  try {
    const report = join(tree, 'report.json');
    rmSync(report, {force: true});
    const {code, timedOut} = await jest(tree, report, tests);
    if (timedOut) return `no end within ${TIMEOUT_MS / 1000} s`;
    return code === 0 ? null : firstFailure(report);
  } finally {
    writeFileSync(path, original);
  }
}

function jest(
  tree: string,
  report: string,
  tests: readonly string[],
): Promise<{code: number | null; timedOut: boolean}> {
  return new Promise((resolve) => {
    const argv = [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      'node_modules/jest/bin/jest.js',
      '--runInBand',
      '--bail',
      '--json',
      `--outputFile=${report}`,
      '--runTestsByPath',
      ...tests,
    ];
    const child = spawn(process.execPath, argv, {cwd: tree, stdio: 'ignore'});
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, TIMEOUT_MS);
    child.on('exit', (code) => {
      clearTimeout(timer);
      resolve({code, timedOut});
    });
  });
}

function firstFailure(report: string): string {
  interface Report {
    testResults: {message: string; assertionResults: {status: string; fullName: string}[]}[];
  }
  const {testResults} = JSON.parse(readFileSync(report, 'utf8')) as Report;
  const failed = testResults.flatMap(({assertionResults}) => assertionResults).find(({status}) => status === 'failed');
  // A mutant has to be noticed by an assertion: one that does not even load proves nothing.
  if (failed === undefined)
    throw new Error(
      `the tests did not run:\n${testResults
        .map(({message}) => message)
        .join('\n')
        .slice(0, 2000)}`,
    );
  return failed.fullName;
}

function markdown(rows: readonly Outcome[]): string {
  const sorted = [...rows].sort((a, b) => a.mutant.name.localeCompare(b.mutant.name));
  const lines = sorted.map(
    ({mutant, killedBy}) => `| ${mutant.name} | ${mutant.guards} | ${mutant.file} | ${killedBy ?? '**survived**'} |`,
  );
  return `| mutant | guards | in | the test that notices |\n|---|---|---|---|\n${lines.join('\n')}\n`;
}
