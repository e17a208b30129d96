/**
 * Decision and flow lines as JSON. Two are written for every request, so they are put together as text from parts: what
 * one line shares with the line before it (workload, policy, rule) is not written anew.
 */
import type {Decision, EgressRequest, Endpoint} from '../policy/index.ts';
import {claimedName} from './claimed-name.ts';
import type {Flow, Level} from './journal.ts';
import {isoClock, quoted, quotedOrNull, tenths} from './json-text.ts';
import {printable} from './printable.ts';

/** Methods are tokens; none of use is longer. */
const MAX_METHOD_CHARS = 64;

export class JsonLines {
  readonly #now: () => Date;
  readonly #clock = isoClock();
  #cause: Cause | null = null;
  /** By the client's end of its connection, which is one value for all of its requests. */
  readonly #parties = new WeakMap<Endpoint, Parties>();

  constructor(now: () => Date) {
    this.#now = now;
  }

  decision(decision: Decision, request: EgressRequest): string {
    const level = decision.verdict === 'deny' ? 'warn' : 'info';
    const {decided, message} = this.#causeOf(decision);
    const via = decision.via.kind === 'proxy' ? quoted(decision.via.proxy) : 'null';
    return `${this.#begin(level, 'egress.decision', decision)}${decided}${message}${this.#asked(request)},"via":${via}}`;
  }

  flow(flow: Flow): string {
    const {decision, request, failure, upstream, proxied} = flow;
    const why = failure === null ? 'null' : `${quoted(failure.reason)},"message":${quoted(failure.message)}`;
    return (
      `${this.#begin(failure === null ? 'info' : 'warn', 'egress.flow', decision)}${this.#causeOf(decision).decided}${this.#asked(request)}` +
      `,"protocol":"${flow.protocol}","status":${flow.status},"bytesIn":${flow.bytesIn},"bytesOut":${flow.bytesOut}` +
      `,"ms":${tenths(flow.durationMs)},"upstream":${quotedOrNull(upstream)},"proxied":${quotedOrNull(proxied)},"failure":${why}}`
    );
  }

  notice(level: Level, event: string, message: string, fields: Record<string, unknown>): string {
    return `{"time":"${this.#clock(this.#now())}","level":"${level}","event":"${event}",${JSON.stringify({message, ...fields}).slice(1)}`;
  }

  #begin(level: Level, event: string, {id}: Decision): string {
    return `{"time":"${this.#clock(this.#now())}","level":"${level}","event":"${event}","id":${quoted(id)}`;
  }

  /** What decided. Requests come in runs of one policy and rule, so the last text is kept. */
  #causeOf(decision: Decision): Cause {
    const known = this.#cause;
    return known !== null && sameCause(known.decision, decision) ? known : (this.#cause = causeOf(decision));
  }

  /** The facts of a question that every line repeats. Header values and query values never are among them (invariant 9). */
  #asked(request: EgressRequest): string {
    const {traffic, source} = request;
    let parties = this.#parties.get(source);
    if (parties === undefined || !sameParties(parties, request)) {
      parties = partiesOf(request);
      this.#parties.set(source, parties);
    }
    const name = quoted(printable(claimedName(request)));
    if (traffic.kind !== 'http' && traffic.kind !== 'https')
      return `${parties.text},"scheme":"${traffic.kind}","name":${name}`;
    const method = quoted(printable(traffic.http.method, MAX_METHOD_CHARS));
    return `${parties.text},"scheme":"${traffic.kind}","name":${name},"method":${method},"path":${quoted(printable(traffic.http.path))}`;
  }
}

interface Cause {
  readonly decision: Decision;
  readonly decided: string;
  readonly message: string;
}

function causeOf(decision: Decision): Cause {
  const {verdict, enforced, reason, policy, rule, message} = decision;
  const wouldDeny = decision.wouldDeny === 'unknown' ? '"unknown"' : decision.wouldDeny;
  return {
    decision,
    decided: flat(
      `,"verdict":"${verdict}","enforced":${enforced},"reason":"${reason}","policyNamespace":${quotedOrNull(policy?.namespace ?? null)}` +
        `,"policy":${quotedOrNull(policy?.name ?? null)},"rule":${quotedOrNull(rule)},"wouldDeny":${wouldDeny}`,
    ),
    message: flat(`,"message":${quoted(message)}`),
  };
}

function sameCause(a: Decision, b: Decision): boolean {
  return (
    a.rule === b.rule &&
    a.reason === b.reason &&
    a.verdict === b.verdict &&
    a.enforced === b.enforced &&
    a.wouldDeny === b.wouldDeny &&
    a.policy?.name === b.policy?.name &&
    a.policy?.namespace === b.policy?.namespace &&
    a.message === b.message
  );
}

/** Who asks, from where and where to. */
interface Parties extends Pick<EgressRequest, 'arrived' | 'workload' | 'destination'> {
  readonly text: string;
}

function partiesOf({arrived, workload, source, destination}: EgressRequest): Parties {
  const place = printable(bracketed(destination.ip ?? destination.host ?? '-'));
  const who =
    workload === 'unknown'
      ? '"workload":null,"serviceAccount":null'
      : `"workload":${quoted(`${workload.namespace}/${workload.name}`)},"serviceAccount":${quoted(workload.serviceAccount)}`;
  const text = flat(
    `,"arrived":"${arrived}",${who},"source":${quoted(`${bracketed(source.ip)}:${source.port}`)},"destination":${quoted(`${place}:${destination.port}`)}`,
  );
  return {arrived, workload, destination, text};
}

/** By identity: a connection's values are made once. */
const sameParties = (a: Parties, b: EgressRequest): boolean =>
  a.workload === b.workload && a.destination === b.destination && a.arrived === b.arrived;

/** Text that is kept and written often, in one piece: V8 keeps a sum of texts as a tree, walked each time it is written. */
const flat = (text: string): string => Buffer.from(text).toString();

const bracketed = (host: string): string => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);
