/**
 * Denials added up where they happen, so that telling them costs the traffic nothing: a process counts, and hands over what
 * it counted every second.
 */
import type {Decision, EgressRequest} from '../policy/index.ts';
import type {Journal} from './journal.ts';
import {printable} from './printable.ts';

/** Denials of one pod that came out alike. */
export interface DenialCount {
  readonly pod: {readonly namespace: string; readonly name: string; readonly uid: string};
  /** `would`: let through by Audit. */
  readonly verdict: 'denied' | 'would';
  readonly reason: Decision['reason'];
  readonly policy: Decision['policy'];
  readonly rule: string | null;
  /** `api.example.com:443`: what the client named, made printable and cut; null: several, of which there were too many. */
  readonly destination: string | null;
  readonly count: number;
  /** Of the first of them: the id in its answer and in the log. */
  readonly id: string;
}

/** What was counted; `left`: denials that were one kind too many. */
export interface Denials {
  readonly denials: readonly DenialCount[];
  readonly left: number;
}

/** A pod chooses the names that it asks for: as many as it likes must cost as much as these. */
export const DENIAL_LIMITS = {
  /** Kinds of denials told apart at one time, of all pods. */
  kinds: 512,
  kindsPerPod: 16,
  /** Of these, so many with their destination. */
  destinationsPerPod: 8,
  /** Half of what a name may be: a message has to be read. */
  destinationCharacters: 128,
} as const;

/** Longer than any name (RFC 1035: 253) with its port. */
const MAX_NAME_CHARACTERS = 300;

export class DenialTally {
  #counts = new Map<string, {-readonly [K in keyof DenialCount]: DenialCount[K]}>();
  #ofPod = new Map<string, {kinds: number; destinations: number}>();
  #left = 0;

  /** One decision; what is no denial of a known pod is passed over. */
  record(decision: Decision, {workload, ...request}: EgressRequest): void {
    const denied = decision.verdict === 'deny';
    if ((!denied && decision.wouldDeny !== true) || workload === 'unknown') return;
    const {namespace, name, uid} = workload;
    const {reason, policy, rule, id} = decision;
    let of = this.#ofPod.get(uid);
    const named = destinationName(request).slice(0, MAX_NAME_CHARACTERS);
    const base = `${uid}\n${denied}\n${reason}\n${policy?.namespace ?? ''}/${policy?.name ?? ''}\n${rule ?? ''}\n`;
    const whole = `${base}${named}`;
    const key = this.#counts.has(whole) || (of?.destinations ?? 0) < DENIAL_LIMITS.destinationsPerPod ? whole : base;
    const known = this.#counts.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    if (this.#counts.size >= DENIAL_LIMITS.kinds || (of?.kinds ?? 0) >= DENIAL_LIMITS.kindsPerPod) {
      this.#left++;
      return;
    }
    if (of === undefined) this.#ofPod.set(uid, (of = {kinds: 0, destinations: 0}));
    of.kinds++;
    if (key === whole) of.destinations++;
    this.#counts.set(key, {
      pod: {namespace, name, uid},
      verdict: denied ? 'denied' : 'would',
      ...{reason, policy, rule, id},
      destination: key === whole ? printable(named, DENIAL_LIMITS.destinationCharacters) : null,
      count: 1,
    });
  }

  /** What was counted since the last time. */
  take(): Denials {
    const taken = {denials: [...this.#counts.values()], left: this.#left};
    if (taken.denials.length > 0) {
      this.#counts = new Map();
      this.#ofPod = new Map();
    }
    this.#left = 0;
    return taken;
  }
}

/** Hands over what was counted, every second in which something was. */
export function handOver(tally: DenialTally, to: (denials: Denials) => void): {close(): void} {
  const clock = setInterval(() => {
    const taken = tally.take();
    if (taken.denials.length > 0 || taken.left > 0) to(taken);
  }, HAND_OVER_MS);
  clock.unref();
  return {close: () => clearInterval(clock)};
}
const HAND_OVER_MS = 1_000;

/** A journal in front of another: denials are counted on the way. */
export function tallyingJournal(journal: Journal, tally: DenialTally): Journal {
  return {
    decision(decision, request) {
      if (decision.verdict === 'deny' || decision.wouldDeny === true) tally.record(decision, request);
      journal.decision(decision, request);
    },
    flow: (flow) => journal.flow(flow),
    notice: (level, event, message, fields) => journal.notice(level, event, message, fields),
  };
}

/** The name that the client asked for, else the address, with the port. Never a path, a query or a header but Host. */
function destinationName({traffic, destination, connectAuthority}: Omit<EgressRequest, 'workload'>): string {
  const http = traffic.kind === 'http' || traffic.kind === 'https' ? traffic.http : null;
  const authority = http?.authority ?? http?.host ?? null;
  // Up to the port; what stands before an @ would be somebody's password.
  const named = authority === null ? null : authority.slice(authority.lastIndexOf('@') + 1).replace(/:\d{1,5}$/, '');
  const sni = traffic.kind === 'tls' || traffic.kind === 'https' ? traffic.tls.sni : null;
  const host = named ?? sni ?? connectAuthority?.host ?? destination.host ?? destination.ip ?? '';
  const port = connectAuthority?.port ?? destination.port;
  return `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`;
}
