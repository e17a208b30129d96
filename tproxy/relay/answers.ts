/** The one module that maps refusals and failures to what a client is answered (DESIGN §2, POLICY "Order of decision"). */
import {
  DENIAL_HEADER,
  denialResponse,
  statusOf,
  type Decision,
  type DenialResponse,
  type HeaderLines,
  type Mutations,
  type Reason,
} from '../../policy/index.ts';
import type {Failure} from '../upstream/contract.ts';

/** A whole answer: no framing headers, those are the connection's. */
export interface WireAnswer {
  readonly status: number;
  readonly headers: HeaderLines;
  readonly body: Buffer;
}

export const NO_MUTATIONS: Mutations = {set: {}, add: {}, remove: []};
const EMPTY = Buffer.alloc(0);

/** A refusal that the relay itself makes: malformed bytes, limits, filters, no policy loaded. */
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

/** An allowed decision turned down after all: by a filter. It keeps its id, policy and rule. */
export function overruled(
  decision: Decision,
  reason: 'FilterDenied' | 'FilterFailed',
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

/** POLICY: HTTP 200 with grpc-status 7; 3 for what is a 400 elsewhere, 14 for a 502 or 503. */
export function grpcStatus(reason: Reason): number {
  const status = statusOf(reason);
  if (status === 400) return 3;
  return status === 502 || status === 503 ? 14 : 7;
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

/** Percent-encoding of the gRPC wire protocol: space to ~ but % as they are, all other bytes of the UTF-8 escaped. */
export function grpcMessage(text: string): string {
  let out = '';
  for (const byte of Buffer.from(text)) {
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

/** Whether a request is gRPC by its content-type (application/grpc, +proto, -web is not one). */
export function isGrpc(contentType: string | undefined): boolean {
  if (contentType === undefined || contentType.length < 16) return false;
  const lower = contentType.toLowerCase();
  if (!lower.startsWith('application/grpc')) return false;
  const next = lower.charCodeAt(16);
  // End of text, '+', ';' or ' ': application/grpc-web is answered as HTTP.
  return Number.isNaN(next) || next === 0x2b || next === 0x3b || next === 0x20;
}
