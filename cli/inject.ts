/** `sallyport inject`: what the webhook would make of these pods, without a cluster. */
import {readFileSync} from 'node:fs';
import {parseAllDocuments, stringify} from 'yaml';
import {inject as injectPod} from '../injector/inject.ts';
import {podName, type Namespace, type Pod} from '../injector/pod.ts';
import {readInstallation, type Installation} from '../injector/settings.ts';
import {formatFinding, loadDocuments, type Finding, type UpstreamProxyDocument} from '../policy/index.ts';
import {EXIT, SallyportError} from '../runtime/errors.ts';
import type {Out} from '../runtime/output.ts';
import {readPolicyFiles} from '../sources/policy-store.ts';
import {parseStrictly} from './arguments.ts';

const HELP = `sallyport inject: the webhook's patch, offline

  sallyport inject -f FILE|- [--config FILE] [--policy PATH...]

  -f, --file FILE      YAML documents, or - for standard input. Pods are injected, everything else is printed as it came;
                       a Namespace among them gives its labels and annotations to the pods after it
      --config FILE    the injector's configuration (default: its defaults)
      --policy PATH    policy files whose UpstreamProxies pods may name
  -h, --help

Exit codes: 0 ok, 1 a pod is refused, 2 wrong use, 3 a file could not be read.
`;

const OPTIONS = {
  file: {type: 'string', short: 'f'},
  config: {type: 'string'},
  policy: {type: 'string', multiple: true},
  help: {type: 'boolean', short: 'h'},
} as const;

/** Runs the command; the result is the exit code. Throws SallyportError for wrong use and for what cannot be read. */
export async function inject(argv: string[], out: Out): Promise<number> {
  const {values, positionals} = parseStrictly('inject', argv, OPTIONS);
  if (values['help'] === true) {
    out.stdout(HELP);
    return EXIT.ok;
  }
  const file = values['file'] as string | undefined;
  if (file === undefined || positionals.length > 0)
    throw new SallyportError('Usage', 'no -f FILE', 'Write sallyport inject -f pod.yaml, or -f - for standard input.');
  const installation = installationOf(values['config'] as string | undefined, (values['policy'] as string[]) ?? []);
  const namespaces = new Map<string, Namespace>();
  const printed: string[] = [];
  let refused = false;
  for (const document of readDocuments(file)) {
    const object = document as {kind?: unknown; metadata?: Pod['metadata']};
    if (object.kind === 'Namespace' && object.metadata !== undefined) {
      const {name = '', labels = {}, annotations = {}} = object.metadata;
      namespaces.set(name, {name, labels, annotations});
    }
    if (object.kind !== 'Pod') {
      printed.push(write(document));
      continue;
    }
    const pod = document as Pod;
    const name = pod.metadata.namespace ?? 'default';
    const result = injectPod(pod, namespaces.get(name) ?? {name, labels: {}, annotations: {}}, installation);
    const say = (text: string): void => out.stderr(`${podName(pod, name)}: ${text}\n`);
    if (result.kind === 'refuse') {
      refused = true;
      for (const message of result.messages) say(`refused: ${message}`);
      continue;
    }
    if (result.kind === 'skip') say(`left as it is: ${result.reason}`);
    else for (const warning of result.warnings) say(`warning: ${warning}`);
    printed.push(write(result.kind === 'inject' ? result.pod : pod));
  }
  out.stdout(printed.join('---\n'));
  return refused ? EXIT.finding : EXIT.ok;
}

/** Long values stay on one line: they are copied from here. */
const write = (value: unknown): string => stringify(value, {lineWidth: 0, aliasDuplicateObjects: false});

function readDocuments(file: string): unknown[] {
  const documents = parseAllDocuments(readText(file === '-' ? 0 : file, '-f'));
  if (!Array.isArray(documents)) return [];
  return documents.flatMap((document) => {
    const problem = document.errors[0];
    if (problem !== undefined)
      throw new SallyportError('BadYaml', `${file}: ${problem.message}`, 'Give -f YAML that kubectl would take.');
    const value: unknown = document.toJS();
    return typeof value === 'object' && value !== null ? [value] : [];
  });
}

function installationOf(config: string | undefined, policies: readonly string[]): Installation {
  const {documents, findings} = loadDocuments(policies.flatMap((path) => readPolicyFiles(path)));
  refuse(findings, '--policy');
  const proxies = new Map(
    documents
      .filter((document): document is UpstreamProxyDocument => document.kind === 'UpstreamProxy')
      .map((document) => [document.name, document]),
  );
  const text = config === undefined ? '' : readText(config, '--config');
  const {value, findings: own} = readInstallation(config ?? 'defaults', text, proxies);
  refuse(own, '--config');
  return value!;
}

function refuse(findings: readonly Finding[], flag: string): void {
  const errors = findings.filter(({severity}) => severity === 'error');
  if (errors.length > 0)
    throw new SallyportError('Usage', `${flag} is not valid\n${errors.map(formatFinding).join('\n')}`, '');
}

function readText(file: string | 0, flag: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new SallyportError(
      'Unreadable',
      `${flag} ${file}: ${(cause as Error).message}`,
      'Name a file that can be read.',
      {
        cause,
      },
    );
  }
}
