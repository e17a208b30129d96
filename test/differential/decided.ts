/** The decision function, asked layer after layer as tproxy asks it. */
import {
  decide,
  isDecision,
  type Address,
  type Decision,
  type EgressRequest,
  type Names,
  type PolicySet,
} from '../../policy/index.ts';
import type {Exchange} from '../reference/arbitraries.ts';

/** Chains of needs: bytes, request, and names one after the other. */
const MAX_ROUNDS = 40;

export interface Decided {
  readonly decision: Decision;
  /** How much had been seen. */
  readonly request: EgressRequest;
}

/** null: more is needed than the exchange shows. */
export function decideExchange(policies: PolicySet, {base, layers}: Exchange, zone: Names): Decided | null {
  const names = new Map<string, readonly Address[] | 'failed'>();
  let layer = 0;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const request: EgressRequest = {...base, traffic: layers[layer]!};
    const answer = decide(policies, request, names);
    if (isDecision(answer)) return {decision: answer, request};
    if (answer.needs === 'addresses') for (const name of answer.of) names.set(name, zone.get(name) ?? 'failed');
    else if (++layer === layers.length) return null;
  }
  throw new Error('the questions do not end');
}

/** What a socket of both families shows as mapped was dialled as IPv4, and whoever has the socket says so. */
export const unmapped = (ip: string): string => (ip.startsWith('::ffff:') ? ip.slice(7) : ip);
