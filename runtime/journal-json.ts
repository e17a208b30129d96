/**
 * Decision and flow lines as JSON. Two are written for every request, so they are put together as text from parts: what
 * one line shares with the line before it (workload, policy, rule) is not written anew.
 */
import type {Decision, EgressRequest, Workload} from '../policy/index.ts';
import {claimedName} from './claimed-name.ts';
import type {Flow, Level} from './journal.ts';
import {isoClock, quoted, quotedOrNull, tenths} from './json-text.ts';
import {printable} from './printable.ts';

/** Methods are tokens; none of use is longer. */
const MAX_METHOD_CHARS = 64;

export class JsonLines {
  readonly #now: () => Date;
  readonly #clock = isoClock();
  readonly #workloads = new WeakMap<Workload, string>();
  #last: Decision | null = null;
  #lastText = '';

  constructor(now: () => Date) {
    this.#now = now;
  }

  decision(decision: Decision, request: EgressRequest): string {
    const level = decision.verdict === 'deny' ? 'warn' : 'info';
    const via = decision.via.kind === 'proxy' ? quoted(decision.via.proxy) : 'null';
    return `${this.#begin(level, 'egress.decision')}${this.#decided(decision)},"message":${quoted(decision.message)}${this.#asked(request)},"via":${via}}`;
  }

  flow(flow: Flow): string {
    const {failure} = flow;
    const why = failure === null ? 'null}' : `${quoted(failure.reason)},"message":${quoted(failure.message)}}`;
    return (
      `${this.#begin(failure === null ? 'info' : 'warn', 'egress.flow')}${this.#decided(flow.decision)}${this.#asked(flow.request)}` +
      `,"protocol":"${flow.protocol}","status":${flow.status},"bytesIn":${flow.bytesIn},"bytesOut":${flow.bytesOut}` +
      `,"ms":${tenths(flow.durationMs)},"upstream":${quotedOrNull(flow.upstream)},"proxied":${quotedOrNull(flow.proxied)},"failure":${why}`
    );
  }

  notice(level: Level, event: string, message: string, fields: Record<string, unknown>): string {
    const rest = JSON.stringify({message, ...fields});
    return `${this.#begin(level, event)},${rest.slice(1)}`;
  }

  #begin(level: Level, event: string): string {
    return `{"time":"${this.#clock(this.#now())}","level":"${level}","event":"${event}"`;
  }

  /** `id` and what decided. */
  #decided(decision: Decision): string {
    if (this.#last === null || !sameCause(this.#last, decision)) {
      this.#last = decision;
      const {verdict, enforced, reason, policy, rule, wouldDeny} = decision;
      this.#lastText =
        `,"verdict":"${verdict}","enforced":${enforced},"reason":"${reason}","policyNamespace":${quotedOrNull(policy?.namespace ?? null)}` +
        `,"policy":${quotedOrNull(policy?.name ?? null)},"rule":${quotedOrNull(rule)},"wouldDeny":${wouldDeny === 'unknown' ? '"unknown"' : wouldDeny}`;
    }
    return `,"id":${quoted(decision.id)}${this.#lastText}`;
  }

  /** The facts of a question that every line repeats. Header values and query values never are among them (invariant 9). */
  #asked(request: EgressRequest): string {
    const {workload, traffic, destination, source} = request;
    const place = printable(bracketed(destination.ip ?? destination.host ?? '-'));
    const http = traffic.kind === 'http' || traffic.kind === 'https' ? traffic.http : null;
    return (
      `,"arrived":"${request.arrived}"${workload === 'unknown' ? STRANGER : this.#workload(workload)}` +
      `,"source":${quoted(`${bracketed(source.ip)}:${source.port}`)},"destination":${quoted(`${place}:${destination.port}`)}` +
      `,"scheme":"${traffic.kind}","name":${quoted(printable(claimedName(request)))}` +
      (http === null
        ? ''
        : `,"method":${quoted(printable(http.method, MAX_METHOD_CHARS))},"path":${quoted(printable(http.path))}`)
    );
  }

  #workload(workload: Workload): string {
    let text = this.#workloads.get(workload);
    if (text === undefined) {
      const {namespace, name, serviceAccount} = workload;
      text = `,"workload":${quoted(`${namespace}/${name}`)},"serviceAccount":${quoted(serviceAccount)}`;
      this.#workloads.set(workload, text);
    }
    return text;
  }
}

const STRANGER = ',"workload":null,"serviceAccount":null';

const bracketed = (host: string): string => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);

function sameCause(a: Decision, b: Decision): boolean {
  return (
    a.rule === b.rule &&
    a.reason === b.reason &&
    a.verdict === b.verdict &&
    a.enforced === b.enforced &&
    a.wouldDeny === b.wouldDeny &&
    a.policy?.name === b.policy?.name &&
    a.policy?.namespace === b.policy?.namespace
  );
}
