/** What a script filter is shown of a request (POLICY "Script filters"); bodies are not. */
import type {EgressRequest} from '../../policy/index.ts';
import type {FilterRequest} from '../../filters/contract.ts';
import type {RequestMessage} from './client-stream.ts';
import {claimedName} from './naming.ts';

const STRANGER: FilterRequest['workload'] = {namespace: '', name: '', labels: {}, serviceAccount: ''};

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
