/** The step's decision, out of the log. */
import type {Expectation} from '../../format/case.ts';
import type {Answer, ObservedDecision} from '../../observation.ts';
import type {RoleLog} from './log.ts';

/** The log is written within 100 ms of what it says, by a process that shares two cores with others. */
const LOG_TIMEOUT_MS = 3000;
/** Steps that ask for no decision wait only so long: its lines are shown beside a difference. */
const GLANCE_MS = 150;

export interface StepTraffic {
  /** Where the log stood when the step began. */
  readonly from: number;
  /** The client's address and port; null: it never connected. */
  readonly source: string | null;
  readonly workload: string;
  readonly answer: Answer;
  /** How many decisions there are at least: one a response. */
  readonly responses: number;
  /** The connection was redirected: where two would look alike to the kernel behind it, one of them gets another source port. */
  readonly redirected?: boolean;
}

/** A decision, and the id by which later lines speak of it. */
export interface LoggedDecision extends ObservedDecision {
  readonly id: string;
}

/** Waits for the decision line of the step and reads it; null: there is none. */
export async function decisionOf(
  log: RoleLog,
  traffic: StepTraffic,
  expect: Expectation,
): Promise<LoggedDecision | null> {
  const wanted =
    expect.verdict !== undefined ||
    expect.reason !== undefined ||
    expect.rule !== undefined ||
    expect.wouldDeny !== undefined;
  const match = traffic.source === null ? {workload: traffic.workload} : {source: traffic.source};
  const lines = () => log.find(traffic.from, 'egress.decision', match);
  await log.until(() => lines().length >= Math.max(traffic.responses, 1), wanted ? LOG_TIMEOUT_MS : GLANCE_MS);
  const line =
    lines().at(-1) ??
    (traffic.redirected === true
      ? log.find(traffic.from, 'egress.decision', {workload: traffic.workload}).at(-1)
      : undefined);
  if (line === undefined) return null;
  return {...readDecision(line), id: String(line['id'])};
}

/** What befell an allowed request afterwards, by its flow line (UpstreamUntrusted ...), told as the decision's reason. */
export async function afterwards(
  log: RoleLog,
  {from, answer}: StepTraffic,
  decision: LoggedDecision | null,
  expect: Expectation,
): Promise<LoggedDecision | null> {
  if (decision === null || expect.reason === undefined || decision.verdict !== 'allow') return decision;
  const flow = () => log.find(from, 'egress.flow', {id: decision.id}).at(-1);
  const failed = answer.kind === 'refused' || (answer.kind === 'response' && answer.status >= 500);
  if (failed) await log.until(() => flow() !== undefined, LOG_TIMEOUT_MS);
  const failure = flow()?.['failure'];
  return typeof failure === 'string' ? {...decision, reason: failure} : decision;
}

export function readDecision(line: Readonly<Record<string, unknown>>): ObservedDecision {
  const {verdict, reason, policy, rule, wouldDeny} = line;
  return {
    verdict: verdict === 'allow' ? 'allow' : 'deny',
    reason: String(reason),
    rule: typeof policy === 'string' && typeof rule === 'string' ? `${policy}/${rule}` : null,
    wouldDeny: wouldDeny === 'unknown' ? 'unknown' : wouldDeny === true,
  };
}
