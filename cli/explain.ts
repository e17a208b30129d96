/** `sallyport explain`: would this request pass, by which rule, why; or what a denial id of a log was. */
import {readFileSync} from 'node:fs';
import {
  checkDocuments,
  compilePolicies,
  explain as explainRequest,
  explanationText,
  formatFinding,
  loadDocuments,
  type PolicySet,
} from '../policy/index.ts';
import {EXIT, SallyportError} from '../runtime/errors.ts';
import type {Out} from '../runtime/output.ts';
import {readPolicyFiles} from '../sources/policy-store.ts';
import {parseStrictly} from './arguments.ts';
import {explainId} from './explain-log.ts';
import {decideLikeTheProxy, readInstallation, readQuestion, type Flags} from './explain-question.ts';

const HELP = `sallyport explain: would this request pass, by which rule, and why

  sallyport explain --policy PATH... --workload NS/NAME --workloads FILE [--method GET] URL [flags]
  sallyport explain --policy PATH... --labels app=web,tier=front [--namespace NS] [--service-account SA] URL [flags]
  sallyport explain ID --log FILE|-

  URL is https://, http://, or tls://HOST:PORT and tcp://HOST-OR-ADDRESS:PORT for connections that nobody looks into.

      --policy PATH         a policy file or directory; may be given several times
      --workload NS/NAME    who asks, by the workload table
      --workloads FILE      the workload table
      --labels K=V,...      who asks, by labels ("" for a pod without any)
      --namespace NS        its namespace (default: default)
      --namespace-labels K=V,...
      --service-account SA  its account (default: default)
      --distrusts-ca        its programs do not trust the CA
      --method METHOD       default GET
      --header 'k: v'       may be given several times
      --host HOST           Host, if it is not the URL's
      --sni NAME            SNI, if it is not the URL's; "" sends none
      --via captured|explicit
                            how it comes: captured in the kernel (default), or by the explicit proxy port
      --address IP          what the URL's name resolves to; may be given several times. Without: some public address
      --default-action Deny|Allow, --cluster-domain D, --service-cidr C, --pod-cidr C, --node-cidr C, --nat64-prefix C,
      --search D            the installation, as sallyport tproxy has them
      --log FILE            a log of JSON lines; - for standard input
  -o, --output FORMAT       text (default) or json
  -h, --help

Exit codes: 0 it would pass (or the id was found), 1 it would be denied (or no such id), 2 wrong use, 3 a file could not be read.
`;

const OPTIONS = {
  policy: {type: 'string', multiple: true},
  workload: {type: 'string'},
  workloads: {type: 'string'},
  labels: {type: 'string'},
  namespace: {type: 'string'},
  'namespace-labels': {type: 'string'},
  'service-account': {type: 'string'},
  'distrusts-ca': {type: 'boolean'},
  method: {type: 'string'},
  header: {type: 'string', multiple: true},
  host: {type: 'string'},
  sni: {type: 'string'},
  via: {type: 'string'},
  address: {type: 'string', multiple: true},
  'default-action': {type: 'string'},
  'cluster-domain': {type: 'string'},
  'service-cidr': {type: 'string', multiple: true},
  'pod-cidr': {type: 'string', multiple: true},
  'node-cidr': {type: 'string', multiple: true},
  'nat64-prefix': {type: 'string', multiple: true},
  search: {type: 'string', multiple: true},
  log: {type: 'string'},
  output: {type: 'string', short: 'o'},
  help: {type: 'boolean', short: 'h'},
} as const;

/** Values that may be empty: no labels, no SNI. */
const MAY_BE_EMPTY: ReadonlySet<string> = new Set(['labels', 'sni', 'namespace-labels']);

const usage = (message: string, fix: string): SallyportError => new SallyportError('Usage', message, fix);

/** `-` is read by this; tests give it another. */
type Stdin = () => string;
const processStdin: Stdin = () => readFileSync(0, 'utf8');

/** Runs the command; the result is the exit code. Throws SallyportError for wrong use and for what cannot be read. */
export async function explain(argv: string[], out: Out, stdin: Stdin = processStdin): Promise<number> {
  const {flags, positionals} = readArguments(argv);
  if (flags.help === true) {
    out.stdout(HELP);
    return EXIT.ok;
  }
  const output = flags.output ?? 'text';
  if (output !== 'text' && output !== 'json')
    throw usage(`-o ${JSON.stringify(output)} is no format`, 'Write text or json.');
  const json = output === 'json';
  if (positionals.length > 1)
    throw usage(`${positionals.length} URLs or ids where one is explained`, 'Write one URL, or one id and --log.');
  const [subject] = positionals;
  if (flags.log !== undefined) {
    if (subject === undefined) throw usage('no denial id', 'Write sallyport explain ID --log FILE.');
    return explainId(subject, readLog(flags.log, stdin), json, out);
  }
  if (subject === undefined) throw usage('nothing to explain', 'Write a URL, or a denial id and --log FILE.');
  if (!subject.includes('://'))
    throw usage(
      `${JSON.stringify(subject)} is no URL`,
      'Write https://HOST/PATH; or, if this is a denial id, add --log FILE.',
    );
  const policies = load(flags, out);
  const {request, addresses, assumed} = readQuestion(subject, flags);
  const {question, names} = decideLikeTheProxy(policies, request, addresses);
  const explanation = explainRequest(policies, question, names);
  if (json) {
    const looked = Object.fromEntries(names);
    out.stdout(`${JSON.stringify({...explanation, lookedUp: looked, addressesAssumed: assumed}, null, 2)}\n`);
  } else {
    out.stdout(explanationText(explanation));
    if (assumed) out.stdout('\nThe name is assumed to have a public address; --address IP says which it has.\n');
  }
  const {answer} = explanation;
  return 'verdict' in answer && answer.verdict === 'allow' ? EXIT.ok : EXIT.finding;
}

function readArguments(argv: readonly string[]): {flags: Flags; positionals: string[]} {
  const {values, positionals} = parseStrictly('explain', argv, OPTIONS, MAY_BE_EMPTY);
  return {flags: values, positionals};
}

function load(flags: Flags, out: Out): PolicySet {
  const paths = flags.policy ?? [];
  if (paths.length === 0) throw usage('--policy is missing', 'Write --policy PATH, or an id and --log FILE.');
  const sources = paths.flatMap((path) => {
    try {
      return [...readPolicyFiles(path)];
    } catch (cause) {
      throw new SallyportError(
        'PolicyUnreadable',
        `--policy ${path}: ${(cause as Error).message.split('\n')[0]}`,
        'Give --policy a file or a directory that can be read.',
        {cause},
      );
    }
  });
  const {documents, findings} = loadDocuments(sources);
  const installation = readInstallation(flags);
  const errors = findings.filter(({severity}) => severity === 'error');
  if (errors.length > 0)
    throw new SallyportError('PolicyInvalid', `the policy has errors\n${errors.map(formatFinding).join('\n')}`, '');
  for (const finding of checkDocuments(documents, {clusterDomain: installation.clusterDomain}))
    out.stderr(`${formatFinding(finding)}\n`);
  return compilePolicies(documents, installation);
}

function readLog(path: string, stdin: Stdin): string {
  if (path === '-') return stdin();
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new SallyportError(
      'LogUnreadable',
      `--log ${path}: ${(cause as Error).message.split('\n')[0]}`,
      'Give --log a file of JSON lines, or - for standard input.',
      {cause},
    );
  }
}
