/** From an allowing Decision to where upstream/ may go; the last look before anything is dialled. */
import type {Address, Decision, EgressRequest} from '../../policy/index.ts';
import type {Failure, Route} from '../upstream/contract.ts';
import type {ClientConnection} from './connection.ts';
import type {Core} from './core.ts';
import {claimedName} from './naming.ts';

/** The route of an allowed request or connection, or why there is none. Never a route of a denial (invariant 1). */
export function routeOf(
  core: Core,
  connection: ClientConnection,
  request: EgressRequest,
  decision: Decision,
  scheme: Route['scheme'],
): Route | {readonly failure: Failure} {
  if (decision.verdict !== 'allow') return {failure: {reason: decision.reason, message: decision.message}};
  const {via} = decision;
  if (via.kind === 'missing') {
    return {
      failure: {
        reason: 'UpstreamUnreachable',
        message: `The rule goes via the UpstreamProxy ${via.proxy}, and there is none of that name.`,
      },
    };
  }
  if (decision.dial.length === 0 && !(via.kind === 'proxy' && via.sends === 'name')) {
    return {failure: {reason: 'Unresolvable', message: 'There is no address that this request may be sent to.'}};
  }
  const {port} = request.destination;
  for (const address of decision.dial) {
    // decide refuses these too; a loop through ourselves would be a way to borrow our address (invariant 6).
    if (core.services.isOwnListener(address, port))
      return {failure: {reason: 'DestinationForbidden', message: 'That address is this proxy itself.'}};
  }
  return {
    scheme,
    name: claimedName(request),
    port,
    dial: decision.dial,
    via,
    workload: connection.workloadKey,
    source: connection.source,
  };
}

/** The address of `address:port` where we dialled it ourselves; null where a parent did. */
export function hostOf(upstream: string | null, proxied: string | null): Address | null {
  if (upstream === null || proxied !== null) return null;
  const host = upstream.slice(0, upstream.lastIndexOf(':'));
  return host.startsWith('[') ? host.slice(1, -1) : host;
}

/** The UpstreamProxy that a decision sends its flow through; null: none. */
export function carrierOf({via}: Decision): string | null {
  return via.kind === 'direct' ? null : via.proxy;
}

/**
 * A living flow that is still allowed, but by another way than it goes: what went direct would go on around a parent that is
 * asked for now. Why it is closed; null: it goes as it should. Where all is Audit the wire is left as it is.
 */
export function rerouted(decision: Decision, carrier: string | null): Failure | null {
  const now = carrierOf(decision);
  if (!decision.enforced || now === carrier) return null;
  const way = now === null ? 'it goes direct now' : `it goes through the UpstreamProxy ${now} now`;
  return {reason: 'UpstreamUnreachable', message: `The policy changed: ${way}.`};
}
