/** The README's commands for a cluster, as they are written there: this is how the tests install. */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Cluster} from './cluster/cluster.ts';
import {prepare, rolledOut, valuesFlags} from './installation.ts';
import type {Internet} from './internet.ts';
import {eventually, expect, type Report} from './report.ts';

const ROOT = join(import.meta.dirname, '../..');
const HEADING = '## In a cluster';

/** What is written, and what its output has to hold. */
interface Line {
  readonly text: string;
  readonly argv: readonly string[];
  readonly prints: string;
}

/** False where it cannot be installed, so that nothing else makes sense. */
export async function quickStart(cluster: Cluster, internet: Internet, report: Report): Promise<boolean> {
  report.suite('The README’s quick start');
  for (const line of linesOf(readFileSync(join(ROOT, 'README.md'), 'utf8'))) {
    const well = await report.step(line.text, async () => {
      if (line.prints !== '') {
        // What is logged and counted is so a moment later.
        let output = '';
        await eventually(`${line.prints} in what it prints`, async () => {
          output = await must(cluster, line);
          return output.includes(line.prints);
        }).catch((error: Error) => expect(false, `${error.message}: ${output}`));
        return;
      }
      const installs = line.argv[1] === 'install';
      if (installs) await prepare(cluster, internet.rootPem);
      await must(cluster, line, installs ? valuesFlags(cluster) : []);
      if (installs) await rolledOut(cluster);
    });
    if (!well) return false;
  }
  return true;
}

async function must(cluster: Cluster, {argv}: Line, more: readonly string[] = []): Promise<string> {
  const [program, ...args] = argv;
  const all = [...args.map(fromRoot), ...more];
  const {status, stdout, stderr} = await (program === 'helm' ? cluster.helm(all) : cluster.kubectl(all));
  expect(status === 0, stderr + stdout);
  return stdout;
}

/** Files are named as from the root of a checkout. */
const fromRoot = (word: string): string => (/^(samples|charts)\//.test(word) ? join(ROOT, word) : word);

function linesOf(readme: string): Line[] {
  const block = readme.slice(readme.indexOf(HEADING)).split('```')[1]!;
  return block
    .split('\n')
    .filter((line) => /^(kubectl|helm) /.test(line))
    .map((line) => {
      const [text, prints = ''] = line.split(/\s+# /) as [string, string?];
      return {text, argv: words(text), prints};
    });
}

/** As a shell would split it: quotes hold words together. */
const words = (text: string): string[] =>
  [...text.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
