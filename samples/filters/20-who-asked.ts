// Tells the server which pod asked, and the pod which decision let it through.
import type {RequestFlow, ResponseFlow} from '../../filters/types.ts';

export function request(flow: RequestFlow): void {
  flow.request.headers.set('x-egress-workload', `${flow.workload.namespace}/${flow.workload.name}`);
}

export function response(flow: ResponseFlow): void {
  flow.response.headers.set('x-egress-decision', flow.id);
  flow.response.headers.delete('server');
}
