/** The one module that maps refusals and failures to what a client is answered (DESIGN §2, POLICY "Order of decision"). */
import {
  DENIAL_HEADER,
  denialResponse,
  statusOf,
  type Decision,
  type HeaderLines,
  type Reason,
} from '../../policy/index.ts';
import {grpcMessage, grpcStatus} from '../../runtime/grpc-denial.ts';
import type {Failure} from '../upstream/contract.ts';

export {isGrpc} from '../../runtime/grpc-denial.ts';
export {NO_MUTATIONS, overruled, refusal} from '../../runtime/refusal.ts';

/** A whole answer: no framing headers, those are the connection's. */
export interface WireAnswer {
  readonly status: number;
  readonly headers: HeaderLines;
  readonly body: Buffer;
}

const EMPTY = Buffer.alloc(0);

/** What the client of a denied request is answered. `grpc`: its content-type was application/grpc. */
export function denialAnswer(decision: Decision, grpc: boolean): WireAnswer {
  const {id, reason, message} = decision;
  if (grpc) return grpcAnswer(id, grpcStatus(reason), `${reason}: ${message} (denial ${id})`);
  const response = decision.response ?? denialResponse({id, reason, policy: null, rule: null, message}, null);
  return {status: response.status, headers: response.headers, body: Buffer.from(response.body)};
}

/** What the client of an allowed request is answered when no answer came for it. */
export function failureAnswer(decision: Decision, failure: Failure, grpc: boolean): WireAnswer {
  if (grpc)
    return grpcAnswer(
      decision.id,
      grpcStatus(failure.reason),
      `${failure.reason}: ${failure.message} (decision ${decision.id})`,
    );
  const body = `Sallyport could not carry this request: ${failure.reason}\n${failure.message}\n${advice(failure.reason)}Decision: ${decision.id}\n`;
  return {
    status: statusOf(failure.reason),
    headers: ['content-type', 'text/plain; charset=utf-8', DENIAL_HEADER, decision.id],
    body: Buffer.from(body),
  };
}

/** What to do about it, for the one who reads the body. */
function advice(reason: Reason): string {
  switch (reason) {
    case 'UpstreamUntrusted':
      return 'Add its CA to the upstream roots, or write a `tls` rule for this host so that it is passed through.\n';
    case 'UpstreamUnreachable':
      return 'Check that the server (or the UpstreamProxy) is up and listens on this port.\n';
    case 'UpstreamProxyRefused':
      return "Ask the operator of the UpstreamProxy; its credentials or its own rules don't allow this.\n";
    case 'UpstreamMalformed':
      return 'The server (or something in front of it) breaks HTTP; nothing of its answer was passed on.\n';
    case 'Unresolvable':
      return 'Check the spelling of the name, and the resolver that Sallyport uses.\n';
    default:
      return '';
  }
}

function grpcAnswer(id: string, status: number, message: string): WireAnswer {
  return {
    status: 200,
    headers: [
      'content-type',
      'application/grpc',
      'grpc-status',
      String(status),
      'grpc-message',
      grpcMessage(message),
      DENIAL_HEADER,
      id,
    ],
    body: EMPTY,
  };
}
