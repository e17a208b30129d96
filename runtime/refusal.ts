/** Refusals that an enforcement point makes itself, beside those of decide: one shape for the answer, the log line and the metric. */
import {
  DENIAL_HEADER,
  denialResponse,
  type Decision,
  type DenialResponse,
  type Mutations,
  type Reason,
} from '../policy/index.ts';

export const NO_MUTATIONS: Mutations = {set: {}, add: {}, remove: []};

/** Malformed bytes, limits, filters, no policy loaded. `inspect`: a TLS connection is finished with a leaf, to be answered. */
export function refusal(id: string, reason: Reason, message: string, inspect: boolean): Decision {
  return {
    id,
    verdict: 'deny',
    enforced: true,
    reason,
    policy: null,
    rule: null,
    wouldDeny: true,
    message,
    response: denialResponse({id, reason, policy: null, rule: null, message}, null),
    requestMutations: NO_MUTATIONS,
    responseMutations: NO_MUTATIONS,
    via: {kind: 'direct'},
    inspect,
    dial: [],
  };
}

/** An allowed decision turned down after all: by a filter, or since the way out that it needs is not there. It keeps its id, policy and rule. */
export function overruled(
  decision: Decision,
  reason: Reason,
  message: string,
  response: DenialResponse | null,
): Decision {
  const {id, policy, rule} = decision;
  const name = policy === null ? null : policy.namespace === null ? policy.name : `${policy.namespace}/${policy.name}`;
  return {
    ...decision,
    verdict: 'deny',
    reason,
    wouldDeny: true,
    message,
    response:
      response === null
        ? denialResponse({id, reason, policy: name, rule, message}, null)
        : {...response, headers: [...response.headers, DENIAL_HEADER, id]},
    dial: [],
  };
}
