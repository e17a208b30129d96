/** What a script filter is shown of a request, and what its verdict makes of the decision (POLICY "Script filters"). */
import type {Decision, EgressRequest} from '../../policy/index.ts';
import type {FilterRequest, FilterVerdict} from '../../filters/contract.ts';
import {overruled} from './answers.ts';
import type {RequestMessage} from './client-stream.ts';
import {claimedName} from './naming.ts';

const STRANGER: FilterRequest['workload'] = {namespace: '', name: '', labels: {}, serviceAccount: ''};

/** Bodies are not shown. */
export function filterRequest(request: EgressRequest, message: RequestMessage): FilterRequest {
  const {traffic, destination, id, workload} = request;
  const {http, headers} = message;
  return {
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
    scheme: traffic.kind === 'https' ? 'https' : 'http',
    host: claimedName(request),
    port: destination.port,
    method: http.method,
    path: http.path,
    query: http.query,
    headers,
  };
}

/** The denial that an allowed request comes to where a filter answers it itself, or fails. */
export function overruledBy(
  verdict: Exclude<FilterVerdict, {readonly kind: 'continue'}>,
  decision: Decision,
): Decision {
  const {kind, filter} = verdict;
  return kind === 'failed'
    ? overruled(decision, 'FilterFailed', `The filter ${filter} failed: ${verdict.message}`, null)
    : overruled(decision, 'FilterDenied', `The filter ${filter} answered this request itself.`, verdict.response);
}
