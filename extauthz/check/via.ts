/** Envoy dials, so an UpstreamProxy that a rule asks for is used only where this Envoy is known to send through it. */
import type {Decision, EgressRequest} from '../../policy/index.ts';
import {overruled} from '../../runtime/refusal.ts';
import type {Hops} from '../identity/hops.ts';
import {readSpiffe} from '../identity/spiffe.ts';
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

/** The value of Proxy-Authorization by UpstreamProxy; null: it wants none; undefined: what it wants could not be read. */
export type Authorizations = (proxy: string) => string | null | undefined;

/**
 * Whether the Envoy that asks sends for this workload: its sidecar has the certificate of the same account, a hop sends for all.
 * Others of the mesh may ask about anybody, and would learn a password by it.
 */
export function sendsFor(peer: string | null, workload: EgressRequest['workload'], hops: Hops): boolean {
  if (peer === null || workload === 'unknown') return false;
  if (hops.isId(peer)) return true;
  const account = readSpiffe(peer);
  return account?.namespace === workload.namespace && account.serviceAccount === workload.serviceAccount;
}

/**
 * What is added to an allowed request of an Envoy that leaves credentials to us; without those that its parent wants, a refusal.
 * `entitled`: see sendsFor. `method`: null of what is no request.
 */
export function withCredentials(
  decision: Decision,
  adds: boolean,
  method: string | null,
  entitled: () => boolean,
  authorizations: Authorizations,
): {readonly decision: Decision; readonly authorization: string | null} {
  const {via} = decision;
  if (!adds || decision.verdict !== 'allow' || via.kind !== 'proxy') return {decision, authorization: null};
  const authorization = authorizations(via.proxy);
  if (authorization === null) return {decision, authorization};
  // With `Max-Forwards: 0` the parent answers by all that it was sent (RFC 9110 §9.3.8); some read the method in any case.
  if (method?.toUpperCase() === 'TRACE')
    return {
      decision: unreachable(
        decision,
        `A TRACE is not sent with the credentials of UpstreamProxy ${via.proxy}, which would answer with them.`,
      ),
      authorization: null,
    };
  if (authorization !== undefined && entitled()) return {decision, authorization};
  if (authorization !== undefined)
    return {
      decision: unreachable(
        decision,
        `The credentials of UpstreamProxy ${via.proxy} are for the workload's own Envoy, and the one that asks shows no certificate of its account.`,
      ),
      authorization: null,
    };
  return {
    decision: unreachable(
      decision,
      `The credentials of UpstreamProxy ${via.proxy} could not be read; /readyz says why, and --parent-credentials has to be there.`,
    ),
    authorization: null,
  };
}

const unreachable = (decision: Decision, message: string): Decision =>
  overruled(decision, 'UpstreamUnreachable', message, null);
