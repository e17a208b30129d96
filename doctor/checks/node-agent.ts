/** The agent: it runs, says that it is ready, and what it loaded is what is written. */
import type {Check} from '../check.ts';
import {fail, grave, minor, ok, verdictOf, type Problem} from '../outcome.ts';
import type {NodeWorld} from '../node/world.ts';
import {VERSION} from '../../runtime/version.ts';
import {versionOf} from '../version.ts';

/** The detail of /readyz, as far as it is looked at. */
export interface Readiness {
  readonly ready: boolean;
  readonly draining?: boolean;
  readonly workers?: {readonly wanted: number; readonly listening: number; readonly current: boolean};
  readonly policies?: {readonly lastLoad?: string; readonly findings?: readonly string[]};
  readonly workloads?: {readonly lastLoad?: string};
  readonly missingRefs?: readonly {readonly proxy: string; readonly message: string}[];
  readonly capture?: string | CaptureDetail;
  /** `ok`, or why nothing can be signed. */
  readonly ca?: string;
  /** Of a cluster: what the API server does not tell at the moment. */
  readonly cluster?: {readonly synced: boolean; readonly away: Readonly<Record<string, string>>};
}

interface CaptureDetail {
  readonly inForce: boolean;
  readonly unplaced: readonly string[];
  readonly drifts: number;
  readonly lastError: string | null;
  readonly stateError?: string | null;
}

/** Asks /readyz. Rejects where nobody answers. */
export async function readiness(world: NodeWorld): Promise<Readiness> {
  return JSON.parse((await world.admin('/readyz')).text) as Readiness;
}

export const nodeAgent: Check<NodeWorld> = {
  name: 'node.agent',
  looks: "the agent's process, /readyz and version",
  run: async (world) => {
    const {process, config} = world.agent();
    let ready: Readiness;
    try {
      ready = await readiness(world);
    } catch (error) {
      return fail(
        `process ${process.pid} runs, and /readyz on port ${config.admin.port} does not answer: ${(error as Error).message}`,
        "Read the agent's log; if it hangs, restart it: what is captured stays closed meanwhile.",
      );
    }
    const problems = problemsOf(ready, config.capture);
    const version = versionOf(process.at(process.program));
    if (version !== null && version !== VERSION)
      problems.push(
        minor(
          `the agent is ${version} and this command is ${VERSION}`,
          'Run the doctor of the same version, or finish the upgrade.',
        ),
      );
    return verdictOf(problems, `process ${process.pid} is ready, version ${version ?? 'not known'}`);
  },
};

/** Pure. */
export function problemsOf(ready: Readiness, capture: string): Problem[] {
  const problems: Problem[] = [];
  const {policies, workloads, missingRefs = [], capture: detail} = ready;
  if (!ready.ready)
    problems.push(
      grave(ready.draining === true ? 'it drains: it is about to end' : 'it is not ready', "Read the agent's log."),
    );
  if (capture === 'none')
    problems.push(grave('it runs with --capture none: no pod is captured by it', 'Start it with --capture node.'));
  if (typeof detail === 'object') {
    if (!detail.inForce)
      problems.push(
        grave(
          `it says that the rules are not in force: ${detail.lastError ?? 'no reason given'}`,
          'Do what the message says; the agent tries again by itself.',
        ),
      );
    if (detail.stateError != null)
      problems.push(minor(detail.stateError, 'Give --state-dir a folder that the agent can write to.'));
    if (detail.unplaced.length > 0)
      problems.push(
        minor(
          `no route leads to ${detail.unplaced.slice(0, 3).join(', ')}: nothing is let out from there`,
          'See whether that pod still lives: ip route get ADDRESS.',
        ),
      );
    if (detail.drifts > 0)
      problems.push(
        minor(
          `somebody else changed the rules ${detail.drifts} times since it started; they were put back`,
          'Find out who: capture.drift in its log has the times (a firewall service that flushes all tables?).',
        ),
      );
  }
  if (ready.ca !== undefined && ready.ca !== 'ok')
    problems.push(
      grave(
        `it can sign no certificate: ${ready.ca}`,
        'See node.ca; in a cluster the controller signs what it waits for.',
      ),
    );
  const {away = {}} = ready.cluster ?? {};
  for (const [kind, why] of Object.entries(away))
    problems.push(
      minor(
        `the API server does not tell ${kind} (${why}): the last state stays in force`,
        'See whether the API server answers, and whether the role of sallyport-node is as the chart has it.',
      ),
    );
  if (policies?.lastLoad !== undefined && policies.lastLoad !== 'ok')
    problems.push(
      grave(
        `policies: ${policies.lastLoad}${policies.findings?.[0] === undefined ? '' : `: ${policies.findings[0]}`}`,
        'Correct that document: sallyport check -f PATH.',
      ),
    );
  if (workloads?.lastLoad !== undefined && workloads.lastLoad !== 'ok')
    problems.push(
      grave(`the workload table: ${workloads.lastLoad}`, 'Correct that file; the last good one is in force.'),
    );
  for (const {proxy, message} of missingRefs)
    problems.push(grave(`UpstreamProxy ${proxy} cannot be used: ${message}`, 'Bring what it names.'));
  return problems;
}

export const nodeWorkers: Check<NodeWorld> = {
  name: 'node.workers',
  looks: 'the worker processes and what they hold',
  run: async (world) => {
    const {workers} = await readiness(world);
    if (workers === undefined) return fail('/readyz does not tell of workers', 'Run the doctor of the same version.');
    const {wanted, listening, current} = workers;
    const problems: Problem[] = [];
    if (listening < wanted)
      problems.push(
        (listening === 0 ? grave : minor)(
          `${listening} of ${wanted} workers listen`,
          "Read worker.restarted in the agent's log; they are restarted by themselves.",
        ),
      );
    if (!current)
      problems.push(grave('a worker has not yet taken over the newest policies', 'Wait, then run doctor again.'));
    return problems.length === 0
      ? ok(`${listening} of ${wanted} listen, all with the newest policies`)
      : verdictOf(problems, '');
  },
};
