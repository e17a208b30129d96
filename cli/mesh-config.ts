/** `sallyport mesh-config`: from MeshEgress to the Istio objects that make a mesh ask. */
import {translate} from '../mesh-config/translate.ts';
import {yamlOf} from '../mesh-config/yaml.ts';
import {
  formatFinding,
  loadDocuments,
  type Finding,
  type MeshEgressDocument,
  type UpstreamProxyDocument,
} from '../policy/index.ts';
import {closest} from '../runtime/closest.ts';
import {EXIT, SallyportError} from '../runtime/errors.ts';
import type {Out} from '../runtime/output.ts';
import {parseStrictly} from './arguments.ts';
import {readSources} from './policy-sources.ts';

const HELP = `sallyport mesh-config: from one MeshEgress to the Istio objects that make a mesh ask

  sallyport mesh-config generate -f PATH...

  generate                prints the objects as YAML, each with the reason why it exists; the same input gives the same text

  -f, --file PATH         a file, a directory, or - for standard input: one MeshEgress, and the UpstreamProxies that it names
  -h, --help

Exit codes: 0 ok, 1 the documents have errors, 2 wrong use, 3 a PATH could not be read.
`;

const OPTIONS = {
  file: {type: 'string', short: 'f', multiple: true},
  help: {type: 'boolean', short: 'h'},
} as const;

const ACTIONS = ['generate'] as const;

/** Runs the command; the result is the exit code. Throws SallyportError for wrong use and for what cannot be read. */
export async function meshConfig(argv: string[], out: Out): Promise<number> {
  const {values, positionals} = parseStrictly('mesh-config', argv, OPTIONS);
  if (values['help'] === true) {
    out.stdout(HELP);
    return EXIT.ok;
  }
  readAction(positionals);
  const paths = (values['file'] ?? []) as string[];
  if (paths.length === 0)
    throw new SallyportError('Usage', 'no -f PATH', 'Write sallyport mesh-config generate -f mesh-egress.yaml.');
  const intent = readIntent(paths, out);
  if (intent === null) return EXIT.finding;
  const {objects, findings} = translate(intent.mesh, intent.proxies);
  report(findings, out);
  if (hasErrors(findings)) return EXIT.finding;
  out.stdout(yamlOf(objects));
  return EXIT.ok;
}

function readAction([action, ...more]: readonly string[]): (typeof ACTIONS)[number] {
  const usage = (message: string, fix: string) => new SallyportError('Usage', message, fix);
  const known = ACTIONS.find((one) => one === action);
  if (action === undefined) throw usage('nothing to do', `Write sallyport mesh-config ${ACTIONS.join(' or ')}.`);
  if (known === undefined) {
    const near = closest(action, ACTIONS);
    throw usage(
      `${JSON.stringify(action)} is nothing that mesh-config does`,
      near === null ? `There is ${ACTIONS.join(', ')}.` : `Did you mean ${near}?`,
    );
  }
  if (more.length > 0) throw usage(`${JSON.stringify(more[0])} is one word too many`, 'Files are given with -f.');
  return known;
}

interface Intent {
  readonly mesh: MeshEgressDocument;
  readonly proxies: readonly UpstreamProxyDocument[];
}

/** null: there are errors, and they have been said. Policies may stand beside it: they are checked, and not looked at. */
function readIntent(paths: readonly string[], out: Out): Intent | null {
  const {documents, setups, findings} = loadDocuments(paths.flatMap((path) => readSources(path)));
  report(findings, out);
  if (hasErrors(findings)) return null;
  const [mesh, second] = setups;
  if (mesh === undefined)
    throw new SallyportError('NoMeshEgress', `no MeshEgress in ${paths.join(', ')}`, 'Give the file that it is in.');
  if (second !== undefined) {
    const {file, line} = second.at;
    out.stderr(
      `${file}:${line}: a second MeshEgress, ${second.name}, beside ${mesh.name}. Give -f only one: both would configure the same proxies.\n`,
    );
    return null;
  }
  return {mesh, proxies: documents.filter((one): one is UpstreamProxyDocument => one.kind === 'UpstreamProxy')};
}

const hasErrors = (findings: readonly Finding[]): boolean => findings.some(({severity}) => severity === 'error');

function report(findings: readonly Finding[], out: Out): void {
  for (const finding of findings) out.stderr(`${formatFinding(finding)}\n`);
}
