/**
 * `npm run e2e`: the whole of it in a real one-node Kubernetes, installed as its users install it.
 *   npm run e2e [-- SUITE...] [--keep-logs DIR] [--markdown FILE]...
 * With --markdown the tables are written between the marks of the files.
 */
import {cpSync, existsSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {attack} from './attack/suite.ts';
import {startCluster, type Cluster} from './cluster/cluster.ts';
import {startInternet, type Internet} from './internet.ts';
import {istio} from './istio/istio.ts';
import {life} from './life.ts';
import {mtls} from './mtls.ts';
import {proxies} from './proxies.ts';
import {quickStart} from './quick-start.ts';
import {Report, withTables} from './report.ts';
import {tutorial} from './tutorial.ts';

const SUITES: Readonly<Record<string, (cluster: Cluster, internet: Internet, report: Report) => Promise<void>>> = {
  tutorial,
  proxies,
  attack,
  istio,
  mtls,
  // The last: it uninstalls.
  life,
};

const {values, positionals} = parseArgs({
  options: {'keep-logs': {type: 'string'}, markdown: {type: 'string', multiple: true}},
  allowPositionals: true,
});
const unknown = positionals.find((name) => !Object.hasOwn(SUITES, name));
if (unknown !== undefined) {
  console.error(`no suite ${JSON.stringify(unknown)}; the suites are ${Object.keys(SUITES).join(', ')}`);
  process.exit(2);
}

const {markdown = []} = values;
const away = markdown.find((file) => !existsSync(file));
if (away !== undefined) {
  console.error(`--markdown ${away} is not there: give a file with the marks, such as docs/E2E.md`);
  process.exit(2);
}

const report = new Report();
const started = Date.now();
const cluster = await startCluster((text) => console.log(`${((Date.now() - started) / 1000).toFixed(0)} s: ${text}`));
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => void cluster.stop().then(() => process.exit(1)));
try {
  const internet = await startInternet(cluster.machine.lab);
  if (await quickStart(cluster, internet, report))
    for (const [name, suite] of Object.entries(SUITES))
      if (positionals.length === 0 || positionals.includes(name))
        await suite(cluster, internet, report).catch((error: Error) =>
          report.step(`the suite ${name} goes to its end`, () => Promise.reject(error)),
        );
  await internet.close();
  if (report.failed > 0) await keepLogs(values['keep-logs'] ?? join(process.cwd(), 'e2e-logs'));
} finally {
  await cluster.stop();
}
for (const file of markdown) writeFileSync(file, withTables(readFileSync(file, 'utf8'), report));
console.log(`\n${report.steps.length - report.failed} passed, ${report.failed} failed, 0 skipped`);
process.exitCode = report.failed === 0 ? 0 : 1;

/** What the parts of the cluster and our own pods said, for whoever looks for the cause. */
async function keepLogs(dir: string): Promise<void> {
  cpSync(join(cluster.machine.dir, 'log'), dir, {recursive: true});
  const {stdout: names} = await cluster.kubectl([
    ...['get', 'pods', '-A', '-o', 'jsonpath={range .items[*]}{.metadata.namespace}{" "}{.metadata.name}{"\\n"}{end}'],
  ]);
  for (const line of names.split('\n').filter(Boolean)) {
    const [namespace, name] = line.split(' ') as [string, string];
    const {stdout, stderr} = await cluster.kubectl(['-n', namespace, 'logs', name, '--all-containers']);
    writeFileSync(join(dir, `${namespace}-${name}.log`), stdout + stderr);
  }
  const {stdout} = await cluster.kubectl(['get', 'pods,events', '-A', '-o', 'wide']);
  writeFileSync(join(dir, 'pods-and-events.txt'), stdout);
  console.log(`logs are in ${dir}`);
}
