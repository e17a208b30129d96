/** What is asked for by both kinds of pods, and how each side tells of it. */
import type {Cluster} from '../cluster/cluster.ts';
import {NAMESPACE} from '../installation.ts';
import {eventually} from '../report.ts';
import {DIRECT, MESHED, PARENT_NAMES, PLAIN, PRIVATE, PUBLIC, REFUSED, SITES, type ParentName} from './intent.ts';

export interface Question {
  readonly what: string;
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly path: string;
  /** The pod with a sidecar is told of this proxy (https_proxy); null: of none. */
  readonly told: ParentName | null;
  /** The proxy that carries it, where it is allowed: because the pod asked it to, or because the policy says so. */
  readonly by: ParentName | null;
  readonly allowed: boolean;
}

/** What came of it, as the client saw it and as the log has it. */
export interface Answer {
  /** The status, of a refused CONNECT its own; or curl's exit code. */
  readonly seen: string;
  readonly verdict: string;
  readonly reason: string;
  readonly policy: string;
  readonly rule: string;
}

const throughProxy = (told: ParentName): Question[] => [
  {what: `TLS by ${told}`, scheme: 'https', host: SITES[told], path: PUBLIC, told, by: told, allowed: true},
  {what: `a path by ${told}`, scheme: 'http', host: SITES[told], path: PUBLIC, told, by: told, allowed: true},
  {what: `another path by ${told}`, scheme: 'http', host: SITES[told], path: PRIVATE, told, by: told, allowed: false},
  {
    what: `another name by ${told}`,
    scheme: 'https',
    host: REFUSED,
    path: `/by-${told}`,
    told,
    by: told,
    allowed: false,
  },
  {what: `another Host by ${told}`, scheme: 'http', host: REFUSED, path: `/by-${told}`, told, by: told, allowed: false},
];

/** The pod is told of nothing; that a proxy carries it is the policy's. */
const chained = (by: ParentName): Question[] => [
  {
    what: `TLS, chained through ${by}`,
    scheme: 'https',
    host: SITES[by],
    path: '/chained',
    told: null,
    by,
    allowed: true,
  },
  {
    what: `a path, chained through ${by}`,
    scheme: 'http',
    host: SITES[by],
    path: '/public/chained',
    told: null,
    by,
    allowed: true,
  },
  {
    what: `another path, to be chained through ${by}`,
    scheme: 'http',
    host: SITES[by],
    path: '/private/chained',
    told: null,
    by,
    allowed: false,
  },
];

export const QUESTIONS: readonly Question[] = [
  ...PARENT_NAMES.flatMap(throughProxy),
  ...PARENT_NAMES.flatMap(chained),
  {what: 'TLS by its SNI', scheme: 'https', host: DIRECT, path: PUBLIC, told: null, by: null, allowed: true},
  {what: 'another SNI', scheme: 'https', host: REFUSED, path: PUBLIC, told: null, by: null, allowed: false},
  {what: 'a path', scheme: 'http', host: DIRECT, path: PUBLIC, told: null, by: null, allowed: true},
  {what: 'another path', scheme: 'http', host: DIRECT, path: PRIVATE, told: null, by: null, allowed: false},
  {what: 'another Host', scheme: 'http', host: REFUSED, path: PUBLIC, told: null, by: null, allowed: false},
];

/** The pod with a sidecar that asks it. */
export const meshedPod = ({told}: Question): string => told ?? 'direct';

/** Asks from the pod: the status that it saw, be it of the CONNECT. */
export async function ask(
  cluster: Cluster,
  namespace: string,
  pod: string,
  {scheme, host, path}: Question,
): Promise<string> {
  const script = 'curl "$@"; echo " $?"';
  const curl = ['-sk', '-o', '/dev/null', '-w', '%{http_code} %{http_connect}', '--max-time', '10'];
  const {stdout, stderr} = await cluster.kubectl([
    ...['exec', '-n', namespace, pod, '-c', 'app', '--', 'sh', '-c', script, 'curl', ...curl],
    `${scheme}://${host}${path}`,
  ]);
  const [status, connect, code] = stdout.trim().split(' ');
  if (code === undefined) return stderr.trim();
  if (code === '0') return status!;
  return Number(connect) >= 400 ? `CONNECT ${connect}` : `curl ${code}`;
}

type Line = Readonly<Record<string, unknown>>;
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** The last of the lines that are about it; waits for one, since logs are written a moment later. */
async function lastLine(what: string, lines: () => Promise<string>, about: (line: Line) => boolean): Promise<Line> {
  let found: Line | undefined;
  await eventually(`a line of the log: ${what}`, async () => {
    const all = (await lines()).split('\n').filter((line) => line.startsWith('{'));
    found = all.map((line) => JSON.parse(line) as Line).findLast(about);
    return found !== undefined;
  });
  return found!;
}

/** What `kubectl logs POD -c istio-proxy` says of it. */
export async function bySidecar(cluster: Cluster, question: Question): Promise<Omit<Answer, 'seen'>> {
  const {host, path, scheme, told} = question;
  const logs = (): Promise<string> => cluster.must(['-n', MESHED, 'logs', meshedPod(question), '-c', 'istio-proxy']);
  const line = await lastLine(question.what, logs, (one) => {
    if (scheme === 'http') return one['authority'] === host && text(one['path']).endsWith(path);
    return told === null ? one['sni'] === host : one['authority'] === `${host}:443`;
  });
  const {verdict, reason, policy, rule} = (line['request'] ?? line['connection'] ?? {}) as Line;
  return {verdict: text(verdict), reason: text(reason), policy: text(policy), rule: text(rule)};
}

/** What `kubectl logs` of the node's agent says of it. */
export async function byAgent(cluster: Cluster, question: Question): Promise<Omit<Answer, 'seen'>> {
  const logs = (): Promise<string> => cluster.must(['-n', NAMESPACE, 'logs', 'daemonset/sallyport-node', '--tail=-1']);
  const {host, path, scheme, allowed} = question;
  const line = await lastLine(
    question.what,
    logs,
    (one) =>
      one['event'] === 'egress.decision' &&
      text(one['workload']).startsWith(`${PLAIN}/`) &&
      text(one['name']).split(':')[0] === host &&
      // What is carried unread has no path.
      (scheme === 'https' && allowed ? one['scheme'] === 'tls' : one['path'] === path),
  );
  const {verdict, reason, policy, rule} = line;
  return {verdict: text(verdict), reason: text(reason), policy: text(policy), rule: text(rule)};
}
