/** What the client of a decision would get, and what an upstream would see: the little that the dataplane adds to it. */
import type {Decision, HeaderLines, HttpRequest, Mutations, Traffic} from '../../../../policy/index.ts';
import {headerMap} from '../../observation.ts';
import type {Answer, ObservedDecision} from '../../observation.ts';

export function observed(decision: Decision): ObservedDecision {
  const {verdict, reason, policy, rule, wouldDeny} = decision;
  return {verdict, reason, rule: rule === null || policy === null ? null : `${policy.name}/${rule}`, wouldDeny};
}

export const httpOf = (traffic: Traffic): HttpRequest | null =>
  traffic.kind === 'http' || traffic.kind === 'https' ? traffic.http : null;

/** The reply to a refused client; null for an allowed one: that is its server's affair. `http` is the request that the client has in mind. */
export function denialAnswer(decision: Decision, traffic: Traffic, http: HttpRequest | null): Answer | null {
  if (decision.verdict === 'allow' || decision.response === null) return null;
  if (http === null || traffic.kind === 'opaque' || traffic.kind === 'unread') return {kind: 'refused', how: 'reset'};
  if (traffic.kind === 'tls' && !decision.inspect) return {kind: 'refused', how: 'reset'};
  const {status, headers, body} = decision.response;
  if ((headerMap(http.headers).get('content-type') ?? []).some((type) => type.startsWith('application/grpc'))) {
    const code = status === 400 ? '3' : status === 502 || status === 503 ? '14' : '7';
    return {
      kind: 'response',
      status: 200,
      headers: headerMap(['content-type', 'application/grpc', 'grpc-status', code]),
      body: '',
    };
  }
  return {kind: 'response', status, headers: headerMap(headers), body: http.method === 'HEAD' ? '' : body};
}

/** The headers after a rule's mutations: removed, then set, then added. */
export function forwardedHeaders(headers: HeaderLines, mutations: Mutations): ReadonlyMap<string, readonly string[]> {
  const map = new Map(headerMap(headers));
  for (const name of mutations.remove) map.delete(name);
  for (const [name, value] of Object.entries(mutations.set)) map.set(name, [value]);
  for (const [name, value] of Object.entries(mutations.add)) map.set(name, [...(map.get(name) ?? []), value]);
  return map;
}
