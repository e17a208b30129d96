/** `sallyport mesh-config`: from MeshEgress to the Istio objects that make a mesh ask. */
import {readFileSync} from 'node:fs';
import {injectorSettings} from '../mesh-config/http-proxy-envs.ts';
import {helmValues, mergeConfigMap, mergeMesh} from '../mesh-config/merge.ts';
import {meshSettings} from '../mesh-config/mesh-settings.ts';
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

  sallyport mesh-config generate -f PATH... [-o objects|mesh|values] [--merge FILE]
  sallyport mesh-config diff     -f PATH... --kubeconfig FILE
  sallyport mesh-config apply    -f PATH... --kubeconfig FILE [--force-conflicts]
  sallyport mesh-config verify   -f PATH... --kubeconfig FILE
  sallyport mesh-config injector -f PATH [-o config|values]

  generate                prints what the mesh needs; the same input gives the same text
  diff                    what apply would change in a cluster
  apply                   writes the objects (server-side apply) and removes those that were generated before and are not any more.
                          The mesh configuration is left to who installs Istio
  verify                  what in a cluster keeps the objects from doing what they are for, with the fix of each
  injector                the injector's settings of the httpProxyEnvs of an operator's Istio resource (Istio, IstioControlPlane)

  -f, --file PATH         a file, a directory, or - for standard input: one MeshEgress, and the UpstreamProxies that it names
  -o, --output WHAT       objects (default): Istio objects, each with the reason why it exists
                          mesh: what Istio's mesh configuration has to say
                          values: the same as values of the istiod chart
                          of injector: its configuration file (config, default), or values of our chart (values)
      --merge FILE        with -o mesh: a ConfigMap as kubectl prints it; printed with ours merged in, the rest as it was
      --kubeconfig FILE   the cluster; in a pod, its service account is the default
      --force-conflicts   fields that somebody else has set since are taken over
  -h, --help

Exit codes: 0 ok, 1 the documents have errors, or diff or verify find something, 2 wrong use, 3 a PATH or the cluster could not be read.
`;

const OPTIONS = {
  file: {type: 'string', short: 'f', multiple: true},
  output: {type: 'string', short: 'o'},
  merge: {type: 'string'},
  kubeconfig: {type: 'string'},
  'force-conflicts': {type: 'boolean'},
  help: {type: 'boolean', short: 'h'},
} as const;

const OUTPUTS = ['objects', 'mesh', 'values'] as const;
type Output = (typeof OUTPUTS)[number];

const ACTIONS = ['generate', 'diff', 'apply', 'verify', 'injector'] as const;
type Action = (typeof ACTIONS)[number];

/** Flags that only some actions have. */
const ONLY: Readonly<Record<string, readonly Action[]>> = {
  output: ['generate', 'injector'],
  merge: ['generate'],
  kubeconfig: ['diff', 'apply', 'verify'],
  'force-conflicts': ['apply'],
};

/** Runs the command; the result is the exit code. Throws SallyportError for wrong use and for what cannot be read. */
export async function meshConfig(argv: string[], out: Out): Promise<number> {
  const {values, positionals} = parseStrictly('mesh-config', argv, OPTIONS);
  if (values['help'] === true) {
    out.stdout(HELP);
    return EXIT.ok;
  }
  const action = readAction(positionals);
  for (const [flag, actions] of Object.entries(ONLY))
    if (values[flag] !== undefined && !actions.includes(action))
      throw new SallyportError('Usage', `--${flag} is for ${actions.join(', ')}`, 'Leave it out.');
  const paths = (values['file'] ?? []) as string[];
  if (paths.length === 0)
    throw new SallyportError('Usage', 'no -f PATH', 'Write sallyport mesh-config generate -f mesh-egress.yaml.');
  if (action === 'injector') return printInjector(paths, values['output'] as string | undefined, out);
  const output = readOutput(values['output'] as string | undefined);
  const merge = values['merge'] as string | undefined;
  if (merge !== undefined && output !== 'mesh')
    throw new SallyportError('Usage', '--merge is for -o mesh', 'Write -o mesh too, or leave --merge out.');
  const intent = readIntent(paths, out);
  if (intent === null) return EXIT.finding;
  const {objects, proxies, findings} = translate(intent.mesh, intent.proxies);
  report(findings, out);
  if (hasErrors(findings)) return EXIT.finding;
  if (action !== 'generate') {
    const {connectionOf} = await import('../cluster/connection.ts');
    const {clusterStore} = await import('../mesh-config/store.ts');
    const {apply, diff, verify} = await import('./mesh-config-cluster.ts');
    const store = clusterStore(connectionOf((values['kubeconfig'] as string | undefined) ?? null, process.env));
    const wanted = {mesh: intent.mesh, documents: intent.proxies, objects, proxies};
    switch (action) {
      case 'diff':
        return await diff(wanted, store, out);
      case 'apply':
        return await apply(wanted, store, values['force-conflicts'] === true, out);
      case 'verify':
        return await verify(wanted, store, out);
    }
  }
  out.stdout(output === 'objects' ? yamlOf(objects) : meshText(intent.mesh, output, merge));
  return EXIT.ok;
}

function meshText(mesh: MeshEgressDocument, output: 'mesh' | 'values', merge: string | undefined): string {
  const settings = meshSettings(mesh);
  if (output === 'values') return helmValues(settings);
  return merge === undefined ? mergeMesh('', settings) : mergeConfigMap(readOne(merge, '--merge'), settings);
}

function printInjector(paths: readonly string[], output: string | undefined, out: Out): number {
  if (output !== undefined && output !== 'config' && output !== 'values')
    throw new SallyportError('Usage', `-o ${JSON.stringify(output)} is no output`, 'Write config or values.');
  const [path, more] = paths;
  if (more !== undefined) throw new SallyportError('Usage', 'two files', 'Give -f one Istio resource.');
  out.stdout(injectorSettings(path!, readOne(path!, '-f'), output ?? 'config'));
  return EXIT.ok;
}

/** A file to be read as it is. Throws SallyportError `FileUnreadable`. */
function readOne(path: string, flag: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (cause) {
    const why = (cause as Error).message.split('\n')[0];
    throw new SallyportError('FileUnreadable', `${path}: ${why}`, `Give ${flag} a file that can be read.`, {cause});
  }
}

function readOutput(text: string | undefined): Output {
  const known = OUTPUTS.find((one) => one === (text ?? 'objects'));
  if (known !== undefined) return known;
  throw new SallyportError('Usage', `-o ${JSON.stringify(text)} is no output`, `Write ${OUTPUTS.join(', ')}.`);
}

function readAction([action, ...more]: readonly string[]): Action {
  const usage = (message: string, fix: string) => new SallyportError('Usage', message, fix);
  const known = ACTIONS.find((one) => one === action);
  if (action === undefined) throw usage('nothing to do', `Write sallyport mesh-config ${ACTIONS.join(' or ')}.`);
  if (known === undefined) {
    const near = closest(action, ACTIONS);
    throw usage(
      `${JSON.stringify(action)} is nothing that mesh-config does`,
      near === null ? `There are ${ACTIONS.join(', ')}.` : `Did you mean ${near}?`,
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
