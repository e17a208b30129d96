/** The decide loop: ask, find out what is needed, ask again. decide is pure; what it needs is found here. */
import type {Address, Decision, EgressRequest, Names, Needs} from '../../policy/index.ts';
import {isDecision} from '../../policy/index.ts';
import {connectionOptions, has, without} from '../http1/index.ts';
import {refusal} from './answers.ts';
import {limited, type Core} from './core.ts';
import {MAX_ROUNDS, RECHECK_AGAIN_MS} from './limits.ts';
import type {Usage} from './usage.ts';

/** What is left when all names are known. */
export type Answer = Decision | Exclude<Needs, {readonly needs: 'addresses'}>;

const NO_NAMES: Names = new Map();

/** The names of a connection's last decision: asked for at once the next time, so that a kept connection is decided in one round. */
export interface Hint {
  of: readonly string[];
  recent: boolean;
}

export interface Asking {
  readonly usage: Usage;
  /** Read and replaced. */
  hint: Hint | null;
}

/** Decide `request`; calls back at once unless a name has to be looked up. Anything unexpected is a refusal (fail closed). */
export function judge(core: Core, asking: Asking, request: EgressRequest, done: (answer: Answer) => void): void {
  let names = NO_NAMES;
  const hint = asking.hint;
  // What has left the cache since is asked for below, where it is counted.
  if (hint !== null && core.services.known?.(hint.of) === true) {
    let late = false;
    const ready = (found: Names): void => {
      if (!late) names = found;
    };
    core.services.resolve(hint.of, hint.recent, ready, asking.usage.key);
    late = true;
  }
  round(core, asking, request, names, 0, done, null);
}

/**
 * Decide a request whose fields may end here: Connection can name any of them (RFC 9110 §7.6.1), and what it names is not
 * sent on. A rule that requires a field must not be satisfied by one that its server never gets, so an allowed request is
 * decided without these fields too.
 */
export function judgeRequest(core: Core, asking: Asking, request: EgressRequest, done: (answer: Answer) => void): void {
  judge(core, asking, request, (answer) => {
    const forwarded = isDecision(answer) && answer.verdict === 'allow' ? withoutNamed(request) : null;
    if (forwarded === null) return done(answer);
    judge(core, asking, forwarded, (again) => done(isDecision(again) && again.verdict === 'allow' ? answer : again));
  });
}

/** The request without the fields that its Connection names; null: it names none that is there. */
function withoutNamed(request: EgressRequest): EgressRequest | null {
  const {traffic} = request;
  if (traffic.kind !== 'http' && traffic.kind !== 'https') return null;
  const {headers} = traffic.http;
  const named = connectionOptions(headers);
  if (!named.some((name) => has(headers, name))) return null;
  return {...request, traffic: {...traffic, http: {...traffic.http, headers: without(headers, new Set(named))}}};
}

export interface Living {
  /** The address it is connected to, where we dialled it: only that address is judged, since a new policy may refuse just this one. */
  readonly connected: Address | null;
  /** Whether it has ended meanwhile: then nobody waits for the answer. */
  over(): boolean;
}

/** Decide a living flow again; `done` is not called for one that is over by then. */
export function judgeAgain(
  core: Core,
  asking: Asking,
  request: EgressRequest,
  living: Living,
  done: (answer: Answer) => void,
): void {
  const answered = (answer: Answer): void => {
    if (!living.over()) done(answer);
  };
  round(core, asking, request, NO_NAMES, 0, answered, living);
}

function round(
  core: Core,
  asking: Asking,
  request: EgressRequest,
  names: Names,
  rounds: number,
  done: (answer: Answer) => void,
  /** null: a new flow. */
  living: Living | null,
): void {
  if (living?.over() === true) return;
  let answer: Decision | Needs;
  try {
    answer = core.services.decide(core.services.policies(), request, names);
  } catch (error) {
    core.services.journal.notice(
      'error',
      'relay.decide-failed',
      'the decision function threw; the request is refused',
      {id: request.id, error: String(error)},
    );
    done(
      refusal(
        request.id,
        'Overloaded',
        'The decision could not be made; the operator finds the cause in the log.',
        trusts(request),
      ),
    );
    return;
  }
  if (isDecision(answer) || answer.needs !== 'addresses') {
    done(answer);
    return;
  }
  if (rounds >= MAX_ROUNDS) {
    done(
      refusal(
        request.id,
        'Unresolvable',
        'More names had to be looked up for this request than the policies can need.',
        trusts(request),
      ),
    );
    return;
  }
  const {of} = answer;
  const {usages} = core.live;
  // The names of tcp rules (`recent`) are the operator's: they may be many, and who connects often invents none.
  const free = answer.recent || core.services.known?.(of) === true;
  if (!free && !usages.ask(asking.usage, of, core.now())) {
    if (living !== null) {
      // A living flow is not cut because many are judged again at once: it waits, and what it waits for is being cached.
      setTimeout(round, RECHECK_AGAIN_MS, core, asking, request, names, rounds, done, living);
      return;
    }
    limited(core, 'lookups');
    done(
      refusal(
        request.id,
        'LimitExceeded',
        'This workload has too many names looked up, at once or lately.',
        trusts(request),
      ),
    );
    return;
  }
  const recent = answer.recent || living !== null;
  const connected = living === null ? null : living.connected;
  const answered = (found: Names): void => {
    if (!free) usages.answered(asking.usage, of);
    if (living === null) asking.hint = {of, recent};
    const these = connected === null || answer.recent ? found : onlyConnected(found, connected);
    round(core, asking, request, names.size === 0 ? these : new Map([...names, ...these]), rounds + 1, done, living);
  };
  core.services.resolve(of, recent, answered, asking.usage.key);
}

/**
 * The names as of the time when the flow was dialled: a name that has moved on since, even long ago, does not acquit the
 * address that still gets the bytes, and one that does not resolve at the moment does not forbid it. Of several readings of
 * a name, the one that has the address was dialled.
 */
function onlyConnected(names: Names, connected: Address): Names {
  const holds = (addresses: readonly Address[] | 'failed'): boolean =>
    addresses !== 'failed' && addresses.includes(connected);
  const moved = ![...names.values()].some(holds);
  const out = new Map<string, readonly Address[] | 'failed'>();
  for (const [name, addresses] of names) out.set(name, holds(addresses) || moved ? [connected] : addresses);
  return out;
}

/** Whether a refusal inside TLS can be read by this client. */
export function trusts(request: EgressRequest): boolean {
  return request.workload !== 'unknown' && request.workload.trustsCa;
}

/** decide asked for what there is not: bytes of what was read, a request of what carries none that can be seen. */
export function unanswerable(request: EgressRequest): Decision {
  return refusal(
    request.id,
    'Uninspectable',
    'The policies need to see a request, and this connection carries none that can be seen.',
    trusts(request),
  );
}
