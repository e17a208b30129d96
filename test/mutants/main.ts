/**
 * `npm run mutants`: breaks one guard at a time in a copy of the tree and requires a test to notice. A guard that can be
 * removed without a failing test is not guarded.
 *   npm run mutants [-- NAME...] [--markdown FILE]
 */
import {spawn, execFileSync} from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import {availableParallelism, tmpdir} from 'node:os';
import {dirname, join, relative} from 'node:path';
import {parseArgs} from 'node:util';
import {programPath} from '../cluster/binaries.ts';
import type {Mutant} from './mutant.ts';
import {MUTANTS} from './mutants.ts';

/** The slowest of the test files takes 20 s, those beside a control plane. A mutant that never ends is noticed by no assertion, so it counts as a survivor. */
const TIMEOUT_MS = 120_000;
/** Of one test: what waits for ever without its guard is to be a test that failed, and its hooks after it, before all is ended. */
const TEST_TIMEOUT_MS = 10_000;
/** All test files one after the other, before any mutant. */
const WITHOUT_MUTANTS_TIMEOUT_MS = 300_000;
/** Each lane runs one test process; more would only slow down those with sockets. */
const MAX_LANES = 4;

interface Outcome {
  readonly mutant: Mutant;
  /** The first test that failed; null: it survived. */
  readonly killedBy: string | null;
}

/** Of jest's report what is read here. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {readonly status: string; readonly fullName: string}[];
  }[];
}

const {values, positionals} = parseArgs({allowPositionals: true, options: {markdown: {type: 'string'}}});
const chosen =
  positionals.length === 0 ? MUTANTS : MUTANTS.filter(({name}) => positionals.some((part) => name.includes(part)));
if (chosen.length === 0) {
  console.error(`no mutant is called ${positionals.join(' or ')}`);
  process.exit(2);
}
const needsCluster = ({tests}: Mutant): boolean => tests.some((test) => test.endsWith('.cluster.test.ts'));
// Where the control plane is not built its tests are skipped, and would notice nothing. In CI they fail then.
const hasCluster = (['kube-apiserver', 'etcd', 'kubectl', 'helm'] as const).every((name) => programPath(name) !== null);
const skipped = hasCluster || process.env['CI'] !== undefined ? [] : chosen.filter(needsCluster);
for (const {name} of skipped)
  console.log(`skip      ${name}: needs a control plane (node cli/setup.mjs cluster builds it)`);
// A mutant whose text is no longer there breaks nothing; it has to be rewritten with the code.
const stale = chosen.filter(
  ({file, find, tests}) =>
    !tests.every((test) => existsSync(test)) ||
    !existsSync(file) ||
    readFileSync(file, 'utf8').split(find).length !== 2,
);
for (const {name, file} of stale)
  console.log(`STALE     ${name}: its text is not found exactly once in ${file}, or a test is gone`);

const work = realpathSync(mkdtempSync(join(tmpdir(), 'sallyport-mutants-')));
const outcomes: Outcome[] = [];
try {
  const queue = chosen.filter((mutant) => !stale.includes(mutant) && !skipped.includes(mutant));
  const lanes = Math.min(queue.length, availableParallelism(), MAX_LANES);
  const trees = Array.from({length: lanes}, (_, lane) => join(work, String(lane)));
  for (const tree of trees) copyTree(tree);
  const red = await redTests(trees, queue);
  for (const test of red) console.log(`RED       ${test} fails without any mutant, so it proves nothing`);
  await Promise.all(
    trees.map(async (tree) => {
      for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
        const proven = mutant.tests.every((test) => !red.has(test));
        const outcome = {mutant, killedBy: proven ? await tryMutant(tree, mutant) : null};
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
console.log(`\n${outcomes.length - survivors + stale.length} passed, ${survivors} failed, ${skipped.length} skipped`);
process.exitCode = survivors === 0 ? 0 : 1;

/** The tracked and new files, without what git ignores; the packages are shared. */
function copyTree(tree: string): void {
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {encoding: 'utf8'})
    .split('\n')
    // Not the empty rest, nor what was deleted and is still in the index.
    .filter((file) => file !== '' && statSync(file, {throwIfNoEntry: false})?.isFile() === true);
  for (const file of files) {
    mkdirSync(dirname(join(tree, file)), {recursive: true});
    cpSync(file, join(tree, file));
  }
  symlinkSync(join(process.cwd(), 'node_modules'), join(tree, 'node_modules'));
}

/** The test files that fail without any mutant: they would kill every one. Each tree tries its part of them. */
async function redTests(trees: readonly string[], mutants: readonly Mutant[]): Promise<ReadonlySet<string>> {
  const tests = [...new Set(mutants.flatMap(({tests}) => tests))];
  const red = await Promise.all(
    trees.map(async (tree, lane) => {
      const mine = tests.filter((_test, i) => i % trees.length === lane);
      if (mine.length === 0) return [];
      const report = join(tree, 'report.json');
      const {code, timedOut} = await jest(tree, report, mine, WITHOUT_MUTANTS_TIMEOUT_MS);
      if (timedOut)
        throw new Error(`without any mutant the tests do not end within ${WITHOUT_MUTANTS_TIMEOUT_MS / 1000} s`);
      if (code === 0) return [];
      const {testResults} = JSON.parse(readFileSync(report, 'utf8')) as Report;
      return testResults.filter(({status}) => status !== 'passed').map(({name}) => relative(tree, name));
    }),
  );
  return new Set(red.flat());
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
    if (timedOut) return null;
    return code === 0 ? null : firstFailure(report);
  } finally {
    writeFileSync(path, original);
  }
}

function jest(
  tree: string,
  report: string,
  tests: readonly string[],
  timeoutMs = TIMEOUT_MS,
): Promise<{code: number | null; timedOut: boolean}> {
  return new Promise((resolve) => {
    const argv = [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      'node_modules/jest/bin/jest.js',
      '--runInBand',
      // A guard that is gone may leave a server open behind the failed assertion.
      '--forceExit',
      `--testTimeout=${TEST_TIMEOUT_MS}`,
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
    }, timeoutMs);
    child.on('exit', (code) => {
      clearTimeout(timer);
      resolve({code, timedOut});
    });
  });
}

function firstFailure(report: string): string {
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
    ({mutant: {name, guards, file}, killedBy}) =>
      `| ${[name, guards, `\`${file}\``, killedBy ?? '**survived**'].map(cell).join(' | ')} |`,
  );
  return [
    '# Mutants',
    '',
    'Each row is a small patch that takes one guard out of the program, what it guards (an invariant of the design by its number, or a sentence of the policy language), and the test that notices; written by `npm run mutants -- --markdown docs/MUTANTS.md`.',
    '',
    '| The broken program: | guards | in | the test that notices |',
    '|---|---|---|---|',
    ...lines,
    '',
  ].join('\n');
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
