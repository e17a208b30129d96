/** The decide loop: ask, find out what is needed, ask again. decide is pure; what it needs is found here. */
import {
  isDecision,
  type Decision,
  type EgressRequest,
  type Names,
  type Needs,
  type PolicySet,
  type Traffic,
  type Workload,
} from '../policy/index.ts';
import type {Journal} from '../runtime/journal.ts';
import {refusal} from '../runtime/refusal.ts';
import {EXTAUTHZ_LIMITS} from './limits.ts';

export type Decide = (policies: PolicySet | 'not-loaded', request: EgressRequest, names: Names) => Decision | Needs;

export interface JudgeServices {
  policies(): PolicySet | 'not-loaded';
  readonly decide: Decide;
  /** Looks names up; may call back at once. */
  resolve(names: readonly string[], recent: boolean, done: (names: Names) => void): void;
  readonly journal: Journal;
}

const NO_NAMES: Names = new Map();

interface Hint {
  readonly of: readonly string[];
  readonly recent: boolean;
}

export class Judge {
  readonly #services: JudgeServices;
  /** What the last decision about a host needed: found out at once the next time. Oldest first. */
  readonly #hints = new Map<string, Hint>();
  /** By workload: where TLS is decrypted in any case, by the policies of the moment. */
  #open = new WeakMap<Workload, Set<string>>();
  #openedBy: PolicySet | null = null;
  /** Look-ups under way by workload. */
  readonly #lookups = new Map<string, number>();

  constructor(services: JudgeServices) {
    this.#services = services;
  }

  /** Decides; calls back at once unless a name has to be looked up. Anything unexpected is a refusal (fail closed). */
  judge(request: EgressRequest, done: (decision: Decision) => void): void {
    const key = hintKey(request);
    const hint = key === null ? undefined : this.#hints.get(key);
    let names = NO_NAMES;
    if (hint !== undefined) {
      let late = false;
      this.#services.resolve(hint.of, hint.recent, (found) => {
        if (!late) names = found;
      });
      late = true;
    }
    const {traffic} = request;
    // In the order in which tproxy gets to see it. A ClientHello that passes unread is first a connection: a tcp rule looks at no
    // bytes. Nor at those of a request, where what is dialled is the address that the rule has, and not what Host leads to. A request
    // inside TLS came in a TLS connection, which a Deny of tls refuses and never holds afterwards.
    if ((traffic.kind === 'tls' && !request.canInspect) || (traffic.kind === 'http' && request.dialsAnswer === true))
      this.#round({...request, traffic: {kind: 'unread'}}, names, 0, key, done, traffic);
    else if (traffic.kind === 'https' && !this.#opened(request, traffic.tls.sni))
      this.#round({...request, traffic: {kind: 'tls', tls: traffic.tls}}, names, 0, key, done, traffic);
    else this.#round(request, names, 0, key, done, null);
  }

  /**
   * Whether a TLS connection of this workload to there is decrypted in any case, so that its requests alone are judged. tproxy
   * finds that out once for a connection; Envoy does not say which requests share one, so it is remembered by what it depends on.
   */
  #opened(request: EgressRequest, sni: string | null): boolean {
    const {workload, destination, traffic} = request;
    if (traffic.kind !== 'https' || workload === 'unknown' || (sni?.length ?? 0) > EXTAUTHZ_LIMITS.hintCharacters)
      return false;
    const policies = this.#services.policies();
    if (policies === 'not-loaded') return false;
    if (this.#openedBy !== policies) {
      this.#openedBy = policies;
      this.#open = new WeakMap();
    }
    let places = this.#open.get(workload);
    if (places === undefined) this.#open.set(workload, (places = new Set()));
    const place = `${sni} ${destination.ip} ${destination.host} ${destination.port}`;
    if (places.has(place)) return true;
    // Asked without any addresses, so that what is remembered depends on none.
    const answer = this.#ask({...request, traffic: {kind: 'tls', tls: traffic.tls}}, NO_NAMES);
    if (isDecision(answer) || answer.needs !== 'request') return false;
    if (places.size >= EXTAUTHZ_LIMITS.openedPerWorkload) places.clear();
    places.add(place);
    return true;
  }

  /** `next`: what is seen of the connection after this; null: no more. */
  #round(
    request: EgressRequest,
    names: Names,
    rounds: number,
    key: string | null,
    done: (decision: Decision) => void,
    next: Traffic | null,
  ): void {
    const answer = this.#ask(request, names);
    if (isDecision(answer)) {
      if (next === null || isFinal(answer, next)) return done(answer);
      return this.#round({...request, traffic: next}, names, rounds, key, done, null);
    }
    if (next !== null && answer.needs !== 'addresses')
      return this.#round({...request, traffic: next}, names, rounds, key, done, null);
    if (answer.needs !== 'addresses') return this.#unseen(request, answer, names, rounds, key, done);
    if (rounds >= EXTAUTHZ_LIMITS.rounds)
      return done(
        refusal(
          request.id,
          'Unresolvable',
          'More names had to be looked up for this request than the policies can need.',
          false,
        ),
      );
    const {workload} = request;
    const who = workload === 'unknown' ? '' : `${workload.namespace}/${workload.name}`;
    const underWay = this.#lookups.get(who) ?? 0;
    if (underWay >= EXTAUTHZ_LIMITS.lookupsPerWorkload)
      return done(
        refusal(request.id, 'LimitExceeded', 'Too many names of this workload are being looked up at once.', false),
      );
    this.#lookups.set(who, underWay + 1);
    const {of, recent} = answer;
    this.#services.resolve(of, recent, (found) => {
      const left = this.#lookups.get(who)! - 1;
      if (left === 0) this.#lookups.delete(who);
      else this.#lookups.set(who, left);
      if (key !== null) this.#remember(key, {of, recent});
      this.#round(request, names.size === 0 ? found : new Map([...names, ...found]), rounds + 1, key, done, next);
    });
  }

  #ask(request: EgressRequest, names: Names): Decision | Needs {
    try {
      return this.#services.decide(this.#services.policies(), request, names);
    } catch (error) {
      this.#services.journal.notice(
        'error',
        'extauthz.decide-failed',
        'the decision function threw; the request is refused',
        {id: request.id, error: String(error)},
      );
      return refusal(
        request.id,
        'Overloaded',
        'The decision could not be made; the operator finds the cause in the log.',
        false,
      );
    }
  }

  /**
   * decide wants bytes, or a request, of what Envoy has shown us neither of. What passes whatever its bytes are (no policy, Audit) passes;
   * where rules look at bytes on this port, a Deny among them could match what nobody sees.
   */
  #unseen(
    request: EgressRequest,
    needs: Needs,
    names: Names,
    rounds: number,
    key: string | null,
    done: (decision: Decision) => void,
  ): void {
    if (needs.needs === 'bytes' && request.traffic.kind === 'unread')
      return this.#round(
        {...request, traffic: {kind: 'opaque'}},
        names,
        rounds,
        key,
        (decision) =>
          done(
            decision.verdict === 'allow' && decision.enforced && decision.rule !== null
              ? unanswerable(request)
              : decision,
          ),
        null,
      );
    done(unanswerable(request));
  }

  #remember(key: string, hint: Hint): void {
    this.#hints.delete(key);
    if (this.#hints.size >= EXTAUTHZ_LIMITS.hints) {
      const oldest = this.#hints.keys().next();
      if (oldest.done !== true) this.#hints.delete(oldest.value);
    }
    this.#hints.set(key, hint);
  }
}

/** Whether what was decided of less than Envoy shows is the answer. */
function isFinal(decision: Decision, next: Traffic): boolean {
  switch (next.kind) {
    case 'https':
      // What a tls rule would have carried is seen all the same: then the request is judged.
      return decision.verdict === 'deny';
    case 'http':
      // Refused, or let pass by no rule, it is told by its request.
      return decision.verdict === 'allow' && decision.enforced && decision.rule !== null;
    case 'tls':
    case 'unread':
    case 'opaque':
      return true;
  }
}

const unanswerable = ({id}: EgressRequest): Decision =>
  refusal(
    id,
    'Uninspectable',
    'The policies need to see a request, and this connection carries none that can be seen.',
    false,
  );

/** What the client says it goes to; null: nothing. */
function hintKey({traffic, destination}: EgressRequest): string | null {
  switch (traffic.kind) {
    case 'http':
    case 'https':
      return short(traffic.http.authority ?? traffic.http.host);
    case 'tls':
      return short(traffic.tls.sni ?? destination.host);
    case 'unread':
    case 'opaque':
      return null;
  }
}

const short = (text: string | null): string | null =>
  text === null || text.length > EXTAUTHZ_LIMITS.hintCharacters ? null : text;
