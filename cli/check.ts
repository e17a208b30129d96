/** `sallyport check`: is this policy valid? One finding a line, as compilers print them. */
import {checkDocuments, formatFinding, loadDocuments, type Finding, type Source} from '../policy/index.ts';
import {EXIT, SallyportError} from '../runtime/errors.ts';
import type {Out} from '../runtime/output.ts';
import {parseStrictly} from './arguments.ts';
import {readSources, type Stdin} from './policy-sources.ts';

const HELP = `sallyport check: is this policy valid?

  sallyport check -f PATH... [--strict] [-o text|json]

  -f, --file PATH         a file, a directory with the .yaml, .yml and .json files below it, or - for standard input
  -o, --output FORMAT     text (default): file:line:column: severity Code: message. fix (object path)
                          json: {findings, summary}
      --strict            warnings too end with exit code 1
      --cluster-domain D  names under it are not held by an Allow's "*" (default cluster.local)
  -h, --help

Exit codes: 0 valid (warnings alone too, unless --strict), 1 errors, 2 wrong use, 3 a PATH could not be read.
`;

const OPTIONS = {
  file: {type: 'string', short: 'f', multiple: true},
  output: {type: 'string', short: 'o'},
  strict: {type: 'boolean'},
  'cluster-domain': {type: 'string'},
  help: {type: 'boolean', short: 'h'},
} as const;

interface Asked {
  readonly paths: readonly string[];
  readonly json: boolean;
  readonly strict: boolean;
  readonly clusterDomain: string;
}

/** Runs the command; the result is the exit code. Throws SallyportError for wrong use and for what cannot be read. */
export async function check(argv: string[], out: Out, stdin?: Stdin): Promise<number> {
  const asked = readArguments(argv);
  if (asked === 'help') {
    out.stdout(HELP);
    return EXIT.ok;
  }
  const sources = asked.paths.flatMap((path) => readSources(path, stdin));
  if (sources.length === 0)
    throw new SallyportError(
      'NothingToCheck',
      `no .yaml, .yml or .json file under ${asked.paths.join(', ')}`,
      'Name a file, or a directory that holds some.',
    );
  const {documents, findings: own} = loadDocuments(sources);
  const findings = [...own, ...checkDocuments(documents, {clusterDomain: asked.clusterDomain})];
  const errors = findings.filter(({severity}) => severity === 'error').length;
  const summary = {
    files: sources.length,
    documents: documents.length,
    rules: documents.reduce((rules, one) => rules + (one.kind === 'UpstreamProxy' ? 0 : one.rules.length), 0),
    errors,
    warnings: findings.length - errors,
  };
  out.stdout(
    asked.json
      ? `${JSON.stringify({findings: inOrder(findings, sources), summary}, null, 2)}\n`
      : report(inOrder(findings, sources), summary),
  );
  return errors > 0 || (asked.strict && findings.length > 0) ? EXIT.finding : EXIT.ok;
}

function readArguments(argv: readonly string[]): Asked | 'help' {
  const usage = (message: string, fix: string) => new SallyportError('Usage', message, fix);
  const {values, positionals} = parseStrictly('check', argv, OPTIONS);
  if (values['help'] === true) return 'help';
  const output = values['output'] ?? 'text';
  if (output !== 'text' && output !== 'json')
    throw usage(`-o ${JSON.stringify(output)} is no format`, 'Write text or json.');
  // `check a.yaml b.yaml` means the same as with -f before each: `-f dir/*` has the shell write it so.
  const paths = [...((values['file'] ?? []) as string[]), ...positionals];
  if (paths.length === 0) throw usage('nothing to check', 'Write sallyport check -f PATH.');
  return {
    paths,
    json: output === 'json',
    strict: values['strict'] === true,
    clusterDomain: ((values['cluster-domain'] as string | undefined) ?? 'cluster.local')
      .toLowerCase()
      .replace(/^\.|\.$/g, ''),
  };
}

/** By file as given, then by place in it. */
function inOrder(findings: readonly Finding[], sources: readonly Source[]): readonly Finding[] {
  const place = new Map(sources.map(({file}, i) => [file, i]));
  return [...findings].sort(
    (a, b) =>
      (place.get(a.at.file) ?? 0) - (place.get(b.at.file) ?? 0) || a.at.line - b.at.line || a.at.column - b.at.column,
  );
}

function report(
  findings: readonly Finding[],
  {files, documents, rules, errors, warnings}: Record<'files' | 'documents' | 'rules' | 'errors' | 'warnings', number>,
): string {
  const count = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`;
  const lines = findings.map(formatFinding);
  lines.push(
    `${count(errors, 'error')}, ${count(warnings, 'warning')}; ${count(documents, 'valid document')} with ${count(rules, 'rule')} in ${count(files, 'file')}`,
  );
  return `${lines.join('\n')}\n`;
}
