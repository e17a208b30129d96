/** `request(flow)` of the script filters, on what Envoy asks about. Their changes become Envoy's. */
import type {Filters} from '../filters/contract.ts';
import {parseAuthority, type Decision, type EgressRequest} from '../policy/index.ts';
import {claimedName} from '../runtime/claimed-name.ts';
import {overruled} from '../runtime/refusal.ts';
import type {AskedHttp} from './check/attributes.ts';
import {difference, mutated, type Changes} from './check/changes.ts';

const STRANGER = {namespace: '', name: '', labels: {}, serviceAccount: ''};

/** `done` gets the decision that stands, and all that is changed in the request. */
export function filterRequest(
  filters: Filters,
  decision: Decision,
  request: EgressRequest,
  asked: AskedHttp,
  done: (decision: Decision, changes: Changes | null) => void,
): void {
  const {traffic, workload, destination, id} = request;
  if (traffic.kind !== 'http' && traffic.kind !== 'https') return done(decision, null);
  const {lines} = asked.fields;
  const claimed = claimedName(request);
  const flow = {
    id,
    workload:
      workload === 'unknown'
        ? STRANGER
        : {
            namespace: workload.namespace,
            name: workload.name,
            labels: workload.labels ?? {},
            serviceAccount: workload.serviceAccount,
          },
    scheme: traffic.kind,
    host: parseAuthority(claimed)?.host ?? claimed,
    port: destination.port,
    method: traffic.http.method,
    path: traffic.http.path,
    query: traffic.http.query,
    headers: lines,
  };
  filters.request(flow, (verdict) => {
    switch (verdict.kind) {
      case 'continue':
        return done(decision, difference(lines, mutated(verdict.headers, decision.requestMutations)));
      case 'answered':
        return done(
          overruled(
            decision,
            'FilterDenied',
            `The filter ${verdict.filter} answered this request itself.`,
            verdict.response,
          ),
          null,
        );
      case 'failed':
        return done(
          overruled(decision, 'FilterFailed', `The filter ${verdict.filter} failed: ${verdict.message}`, null),
          null,
        );
    }
  });
}
