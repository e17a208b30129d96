/**
 * `npm test`: every stage that needs no long build, one after the other, and the sum of their counts as the last line.
 *   npm test [-- STAGE...]     stages: unit lab conformance self-test, and, where asked for: cluster mesh
 */
import {spawn} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join, relative} from 'node:path';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** More than this that fail are no accident. */
const MAX_SUITES_AGAIN = 2;
/** Files that failed and passed when they were run again. */
const unsteady: string[] = [];
const out = mkdtempSync(join(tmpdir(), 'sallyport-test-'));

const STAGES: Readonly<Record<string, () => Promise<Counts>>> = {
  unit: () => jest('unit', ['--maxWorkers=2']),
  // One at a time: they measure and starve one another otherwise.
  lab: () => jest('lab', ['--maxWorkers=1']),
  conformance: () => counted('conformance', ['test/conformance/main.ts']),
  'self-test': () => counted('self-test', ['test/conformance/main.ts', '--self-test']),
};
/** Run where they are asked for: they need programs that take minutes to build. */
const BUILT_STAGES: typeof STAGES = {
  cluster: () => jest('cluster', ['--maxWorkers=1']),
  mesh: () => jest('mesh', ['--maxWorkers=1']),
};

const asked = process.argv.slice(2);
const all = {...STAGES, ...BUILT_STAGES};
const unknown = asked.find((name) => !Object.hasOwn(all, name));
if (unknown !== undefined) {
  console.error(`no stage ${JSON.stringify(unknown)}; the stages are ${Object.keys(all).join(', ')}`);
  process.exit(2);
}

const total: Counts = {passed: 0, failed: 0, skipped: 0};
for (const [name, run] of Object.entries(asked.length > 0 ? all : STAGES)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`\n== ${name}`);
  const started = Date.now();
  const counts = await run();
  console.log(`== ${name}: ${line(counts)} (${Math.round((Date.now() - started) / 1000)} s)`);
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
}
rmSync(out, {recursive: true, force: true});
for (const file of unsteady)
  console.log(`unsteady: ${file} failed, and passed when it was run once more; its failure is above`);
console.log(`\n${line(total)}`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;

function line({passed, failed, skipped}: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/**
 * One project of Jest's. A suite of real parts that fails is run once more, alone, and said: see docs/adr/0026. Where more than a
 * few fail, something is broken, and nothing is run again.
 */
async function jest(project: string, more: readonly string[]): Promise<Counts> {
  const first = await jestOnce(project, more);
  if (project === 'unit' || first.suites.length === 0 || first.suites.length > MAX_SUITES_AGAIN) return first;
  console.log(`\n== ${project}: ${first.suites.length} failed, run once more: ${first.suites.join(' ')}`);
  const again = await jestOnce(project, [...more, '--runTestsByPath', ...first.suites]);
  if (again.failed > 0 || again.passed === 0) return first;
  unsteady.push(...first.suites);
  return {passed: first.passed + first.failed, failed: 0, skipped: first.skipped};
}

interface Outcome extends Counts {
  /** The files that failed; empty where Jest itself did, so that this is never run again. */
  readonly suites: readonly string[];
}

/** Jest's own report is read from its JSON, so that no line of its output has to be guessed at. */
async function jestOnce(project: string, more: readonly string[]): Promise<Outcome> {
  const file = join(out, `${project}.json`);
  rmSync(file, {force: true});
  const {code} = await run(
    [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      'node_modules/jest/bin/jest.js',
      '--selectProjects',
      project,
      // With a limit Jest gives the suites processes of their own: one that crashes is one failure, not the end of the stage.
      '--workerIdleMemoryLimit=1GB',
      '--json',
      `--outputFile=${file}`,
      ...more,
    ],
    false,
  );
  let report: {
    numPassedTests: number;
    numFailedTests: number;
    numPendingTests: number;
    numRuntimeErrorTestSuites: number;
    numTotalTests: number;
    testResults: {name: string; status: string}[];
  };
  try {
    report = JSON.parse(readFileSync(file, 'utf8')) as typeof report;
  } catch {
    console.log(`${project}: Jest ended with ${code} and without its report`);
    return {passed: 0, failed: 1, skipped: 0, suites: []};
  }
  // A suite that did not even load has no tests to count: it counts as one that failed. So does a Jest that failed otherwise.
  const failed = report.numFailedTests + report.numRuntimeErrorTestSuites;
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && code !== 0 ? 1 : failed,
    skipped: report.numPendingTests,
    suites: report.testResults.filter(({status}) => status === 'failed').map(({name}) => relative('.', name)),
  };
}

/** A stage that ends with our own line of counts. */
async function counted(name: string, argv: readonly string[]): Promise<Counts> {
  const {code, last} = await run(argv, true);
  const found = /^(\d+) passed, (\d+) failed, (\d+) skipped$/m.exec(last);
  if (found === null) {
    console.log(`${name} ended with ${code} and without its count`);
    return {passed: 0, failed: 1, skipped: 0};
  }
  const failed = Number(found[2]);
  return {passed: Number(found[1]), failed: failed === 0 && code !== 0 ? 1 : failed, skipped: Number(found[3])};
}

function run(argv: readonly string[], keep: boolean): Promise<{code: number | NodeJS.Signals; last: string}> {
  return new Promise((resolve) => {
    // Jest's JSON goes to its file; what it prints on stdout besides is that JSON again.
    const child = spawn(process.execPath, argv, {stdio: ['ignore', keep ? 'pipe' : 'ignore', 'inherit']});
    let last = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      process.stdout.write(chunk);
      last = (last + chunk.toString()).slice(-2000);
    });
    child.on('close', (code, signal) => resolve({code: code ?? signal ?? 1, last}));
  });
}
