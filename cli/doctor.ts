/** `sallyport doctor`: is enforcement really on? Looks at this node, at the cluster, or at both. */
import {CLUSTER_CHECKS, NODE_CHECKS} from '../doctor/checks/index.ts';
import {connectionOf} from '../cluster/connection.ts';
import {apiOf} from '../doctor/cluster/api.ts';
import type {ClusterWorld} from '../doctor/cluster/world.ts';
import {runChecks, type Row} from '../doctor/check.ts';
import {agentSettings, type Agent} from '../doctor/node/agent.ts';
import {agentOf, agentProcesses} from '../doctor/node/processes.ts';
import {nodeWorld} from '../doctor/node/world.ts';
import {exitCode, reportJson, reportText} from '../doctor/report.ts';
import {EXIT, SallyportError} from '../runtime/errors.ts';
import type {Out} from '../runtime/output.ts';
import {nodePath, systemCommands} from '../tproxy/capture/commands.ts';
import {parseStrictly} from './arguments.ts';

const ALL_CHECKS = [...NODE_CHECKS, ...CLUSTER_CHECKS].map(({name}) => name);

const HELP = `sallyport doctor: is enforcement really on?

  sallyport doctor [node] [cluster] [flags]

  node      this machine: the agent, the kernel's rules, and packets sent from inside captured pods. As root.
  cluster   the API server: webhooks, agents, policies, trust, pods. Its only writes are dry runs.
  Without either: what is here. A node where an agent runs, and the cluster of --kubeconfig; in a pod without an agent, its cluster.

      --pid PID          the agent's process (default: the one in this network namespace)
      --kubeconfig FILE  the cluster (default in a pod: its service account)
      --namespace NS     where Sallyport is installed (default: sallyport)
      --probe-namespace NS  where the dry-run pods would be (default: default)
      --skip CHECK       leave a check out; may be given several times
  -o, --output FORMAT    text (default) or json
  -h, --help

Checks: ${ALL_CHECKS.join(', ')}.
Exit codes: 0 all is well, 1 a finding (warnings too), 2 wrong use, 3 nothing could be looked at.
`;

const OPTIONS = {
  pid: {type: 'string'},
  kubeconfig: {type: 'string'},
  namespace: {type: 'string'},
  'probe-namespace': {type: 'string'},
  skip: {type: 'string', multiple: true},
  output: {type: 'string', short: 'o'},
  help: {type: 'boolean', short: 'h'},
} as const;

const usage = (message: string, fix: string): SallyportError => new SallyportError('Usage', message, fix);

/** Runs the command; the result is the exit code. Throws SallyportError for wrong use, and where there is nothing to look at. */
export async function doctor(argv: string[], out: Out): Promise<number> {
  const {values, positionals} = parseStrictly('doctor', argv, OPTIONS);
  if (values['help'] === true) {
    out.stdout(HELP);
    return EXIT.ok;
  }
  const output = values['output'] ?? 'text';
  if (output !== 'text' && output !== 'json')
    throw usage(`-o ${JSON.stringify(output)} is no format`, 'Write text or json.');
  const skip = skipped((values['skip'] as string[] | undefined) ?? []);
  for (const part of positionals)
    if (part !== 'node' && part !== 'cluster')
      throw usage(`${JSON.stringify(part)} is nothing to look at`, 'Write node, cluster, or neither.');
  const agent = findAgent(values['pid'] as string | undefined);
  const kubeconfig = (values['kubeconfig'] as string | undefined) ?? null;
  const rows: Row[] = [];
  const asked = positionals.includes('node') || values['pid'] !== undefined;
  if (asked || (positionals.length === 0 && !(agent instanceof SallyportError)))
    rows.push(
      ...(await runChecks(NODE_CHECKS, nodeWorld(agent, systemCommands(undefined, nodePath()), kubeconfig), skip)),
    );
  // In the agent's own pod the account may not look at the cluster, and need not.
  const alone = isPod() && rows.length === 0;
  if (positionals.includes('cluster') || (positionals.length === 0 && (kubeconfig !== null || alone)))
    rows.push(...(await runChecks(CLUSTER_CHECKS, clusterWorld(kubeconfig, values), skip)));
  if (rows.length === 0 && agent instanceof SallyportError) throw agent;
  out.stdout(output === 'json' ? reportJson(rows) : reportText(rows));
  return exitCode(rows);
}

function skipped(names: readonly string[]): ReadonlySet<string> {
  for (const name of names)
    if (!ALL_CHECKS.includes(name))
      throw usage(`--skip ${name}: no such check`, `Write one of ${ALL_CHECKS.join(', ')}.`);
  return new Set(names);
}

/** Where the cluster is, and what of it is asked for. Throws SallyportError where no kubeconfig works. */
function clusterWorld(kubeconfig: string | null, values: Record<string, unknown>): ClusterWorld {
  return {
    api: apiOf(connectionOf(kubeconfig, process.env)),
    namespace: (values['namespace'] as string | undefined) ?? 'sallyport',
    probeNamespace: (values['probe-namespace'] as string | undefined) ?? 'default',
    now: Date.now,
  };
}

const isPod = (): boolean => process.env['KUBERNETES_SERVICE_HOST'] !== undefined;

function findAgent(pid: string | undefined): Agent | SallyportError {
  const none = (message: string): SallyportError =>
    new SallyportError(
      'NoAgent',
      message,
      'Run doctor where the agent runs (its pod, or its node as root), or with --kubeconfig.',
    );
  try {
    if (pid !== undefined) {
      if (!/^[1-9]\d*$/.test(pid)) throw usage(`--pid ${JSON.stringify(pid)} is no process id`, 'Write a number.');
      const process = agentOf('/proc', Number(pid));
      return process === null ? none(`process ${pid} is no sallyport tproxy`) : agentSettings(process);
    }
    const found = agentProcesses();
    if (found.length > 1)
      throw usage(
        `${found.length} agents run in this network namespace: ${found.map((one) => one.pid).join(', ')}`,
        'Name one with --pid.',
      );
    return found.length === 0 ? none('no sallyport tproxy runs in this network namespace') : agentSettings(found[0]!);
  } catch (error) {
    if (error instanceof SallyportError && error.code !== 'Usage') return error;
    if (error instanceof SallyportError) throw error;
    return none((error as Error).message);
  }
}
