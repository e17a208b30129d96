/** What a denial id was, from a log of JSON lines. */
import {adviceOf, REASONS} from '../policy/index.ts';
import {EXIT} from '../runtime/errors.ts';
import type {Out} from '../runtime/output.ts';
import {printable} from '../runtime/printable.ts';

type Line = Readonly<Record<string, unknown>>;

/** Finds the egress.decision line (and the flow lines) of an id. Lines that are no JSON are passed over. */
export function findDecision(
  log: string,
  id: string,
): {readonly decision: Line | null; readonly flows: readonly Line[]} {
  let decision: Line | null = null;
  const flows: Line[] = [];
  for (const text of log.split('\n')) {
    // A log may be long: only lines that hold the id are parsed.
    if (!text.includes(id)) continue;
    let line: unknown;
    try {
      line = JSON.parse(text.slice(Math.max(text.indexOf('{'), 0)));
    } catch {
      continue;
    }
    if (typeof line !== 'object' || line === null || (line as Line)['id'] !== id) continue;
    const {event} = line as Line;
    if (event === 'egress.decision') decision ??= line as Line;
    else if (event === 'egress.flow') flows.push(line as Line);
  }
  return {decision, flows};
}

export function explainId(id: string, log: string, json: boolean, out: Out): number {
  const {decision, flows} = findDecision(log, id);
  if (decision === null) {
    if (json) out.stdout(`${JSON.stringify({id, decision: null, flows: []}, null, 2)}\n`);
    else
      out.stderr(
        `No egress.decision line of this log has the id ${JSON.stringify(id)}. Is it the log of the node that the pod ran on, and JSON (--log-format json)?\n`,
      );
    return EXIT.finding;
  }
  if (json) {
    out.stdout(`${JSON.stringify({id, decision, flows, advice: advice(decision)}, null, 2)}\n`);
    return EXIT.ok;
  }
  out.stdout(`${words(decision, flows).join('\n')}\n`);
  return EXIT.ok;
}

/** A log is text that a client had a part in: nothing of it is printed raw. */
function text(value: unknown): string {
  if (typeof value === 'string') return printable(value);
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '-';
}

function advice(line: Line): string | null {
  const reason = REASONS.find((one) => one === line['reason']);
  return reason === undefined || line['verdict'] !== 'deny' ? null : adviceOf(reason);
}

function words(line: Line, flows: readonly Line[]): string[] {
  const denied = line['verdict'] === 'deny';
  const policy =
    line['policy'] == null
      ? 'no policy'
      : `policy ${line['policyNamespace'] == null ? '' : `${text(line['policyNamespace'])}/`}${text(line['policy'])}`;
  const rule = line['rule'] == null ? 'no rule' : `rule ${text(line['rule'])}`;
  const target = `${text(line['scheme'])} ${line['method'] == null ? '' : `${text(line['method'])} `}${text(line['name'])}${line['path'] == null ? '' : text(line['path'])}`;
  const out = [
    `${denied ? 'DENIED' : 'ALLOWED'}  ${text(line['reason'])}  ${text(line['time'])}`,
    `${line['workload'] == null ? 'An unknown workload' : `Workload ${text(line['workload'])}`} at ${text(line['source'])} asked for ${target} at ${text(line['destination'])}.`,
    `${text(line['message'])}`,
    `Decided by ${policy}, ${rule}.`,
  ];
  if (line['wouldDeny'] === true && !denied) out.push('It would have been denied if the Audit policies enforced.');
  for (const flow of flows)
    out.push(
      `Ended with ${flow['status'] == null ? 'no status' : `status ${text(flow['status'])}`} after ${text(flow['ms'])} ms, upstream ${text(flow['upstream'])}${flow['failure'] == null ? '' : `, ${text(flow['failure'])}: ${text(flow['message'])}`}.`,
    );
  const what = advice(line);
  if (what !== null) out.push('', what);
  return out;
}
