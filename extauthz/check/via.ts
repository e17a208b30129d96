/** Envoy dials, so an UpstreamProxy that a rule asks for is used only where this Envoy is known to send through it. */
import type {Decision} from '../../policy/index.ts';
import {overruled} from '../../runtime/refusal.ts';
import {ASKER_KEYS} from './asker.ts';

/** `sends`: the UpstreamProxy that this Envoy sends through; `*`: the one that the answer names; null: none. A parent that is not used never means going direct. */
export function throughItsParent(decision: Decision, sends: string | null): Decision {
  if (decision.verdict !== 'allow') return decision;
  const {via} = decision;
  switch (via.kind) {
    case 'direct':
      return sends === null || sends === '*'
        ? decision
        : unreachable(decision, `This leaves directly, and the Envoy that asks sends through UpstreamProxy ${sends}.`);
    case 'missing':
      return unreachable(decision, `There is no UpstreamProxy ${via.proxy}.`);
    case 'proxy':
      return sends === via.proxy || sends === '*'
        ? decision
        : unreachable(
            decision,
            `This leaves through UpstreamProxy ${via.proxy}, and the Envoy that asks does not say that it sends there (${ASKER_KEYS.via}).`,
          );
  }
}

const unreachable = (decision: Decision, message: string): Decision =>
  overruled(decision, 'UpstreamUnreachable', message, null);
