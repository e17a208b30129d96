/** Flow lines as a person reads them: who, what, where to, the answer and why. */
import type {Decision, EgressRequest} from '../policy/index.ts';
import {claimedName} from './claimed-name.ts';
import type {Flow} from './journal.ts';
import {printable} from './printable.ts';

const PAINT = {green: 32, red: 31, yellow: 33, dim: 2} as const;

function paint(colours: boolean, colour: keyof typeof PAINT, text: string): string {
  return colours ? `\u001b[${PAINT[colour]}m${text}\u001b[0m` : text;
}

function what(request: EgressRequest): string {
  const {traffic, destination} = request;
  const name = printable(claimedName(request));
  switch (traffic.kind) {
    case 'http':
    case 'https':
      return `${printable(traffic.http.method, 64)} ${traffic.kind}://${name}${printable(traffic.http.path)}`;
    case 'tls':
      return `TLS ${name}:${destination.port}`;
    case 'unread':
    case 'opaque':
      return `TCP ${name}:${destination.port}`;
  }
}

function who(request: EgressRequest): string {
  const {workload, source} = request;
  return workload === 'unknown' ? `${source.ip} (unknown)` : `${workload.namespace}/${workload.name}`;
}

const because = (decision: Decision): string =>
  decision.rule === null || decision.policy === null
    ? decision.reason
    : `${decision.reason} ${decision.policy.name}/${decision.rule}`;

/** A refusal, what Audit would refuse, or what Envoy was allowed. */
export function decisionText(clock: string, decision: Decision, request: EgressRequest, colours: boolean): string {
  const denied = decision.verdict === 'deny';
  const status = decision.response === null ? 'reset' : String(decision.response.status);
  const verdict = denied
    ? paint(colours, 'red', `<< ${status}`)
    : decision.wouldDeny === false
      ? paint(colours, 'green', '<< allowed')
      : paint(colours, 'yellow', decision.wouldDeny === true ? '<< would deny' : '<< cannot tell');
  return `${clock} ${who(request)}: ${what(request)} ${verdict} ${because(decision)} ${paint(colours, 'dim', decision.id)}`;
}

/** An allowed request or connection that has ended. */
export function flowText(clock: string, flow: Flow, colours: boolean): string {
  const {decision, request} = flow;
  const answer =
    flow.failure === null
      ? paint(colours, 'green', `<< ${flow.status ?? 'closed'}`)
      : paint(colours, 'red', `<< ${flow.status ?? 'cut'} ${flow.failure.reason}`);
  const through = flow.proxied === null ? '' : ` via ${flow.proxied}`;
  const volume = `${bytes(flow.bytesOut)} in ${Math.round(flow.durationMs)} ms`;
  return `${clock} ${who(request)}: ${what(request)} ${answer} ${volume}${through} ${because(decision)} ${paint(colours, 'dim', decision.id)}`;
}

function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  if (count < 1_000_000) return `${(count / 1000).toFixed(1)} kB`;
  return `${(count / 1_000_000).toFixed(1)} MB`;
}
