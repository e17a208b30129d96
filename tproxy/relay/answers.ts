/** The one module that maps refusals and failures to what a client is answered (DESIGN §2, POLICY "Order of decision"). */
import type {Decision, DenialResponse, HeaderLines, Mutations, Reason} from '../../policy/index.ts';
import type {Failure} from '../upstream/contract.ts';

/** A whole answer: no framing headers, those are the connection's. */
export interface WireAnswer {
  readonly status: number;
  readonly headers: HeaderLines;
  readonly body: Buffer;
}

/** Names the decision in every answer of ours, whatever its body says, so that `sallyport explain ID` can be asked. */
export const DECISION_HEADER = 'x-sallyport-decision';

export const NO_MUTATIONS: Mutations = {set: {}, add: {}, remove: []};
const EMPTY = Buffer.alloc(0);

/** The status of a reason where no policy's `deny` speaks. */
export function statusOf(reason: Reason): number {
  switch (reason) {
    case 'MalformedRequest':
    case 'AmbiguousPath':
    case 'UnsupportedProtocol':
      return 400;
    case 'HostMismatch':
      return 421;
    case 'Unresolvable':
    case 'UpstreamUntrusted':
    case 'UpstreamUnreachable':
    case 'UpstreamProxyRefused':
    case 'UpstreamMalformed':
    case 'ClientRejectedLeaf':
      return 502;
    case 'LimitExceeded':
    case 'Overloaded':
    case 'PolicyNotLoaded':
      return 503;
    case 'RuleAllowed':
    case 'DefaultAllowed':
    case 'RuleDenied':
    case 'NoRuleMatched':
    case 'NoPolicySelects':
    case 'UnknownWorkload':
    case 'IdentityConflict':
    case 'DestinationForbidden':
    case 'Uninspectable':
    case 'FilterDenied':
    case 'FilterFailed':
      return 403;
  }
}

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
    response: plainResponse(statusOf(reason), id, reason, message),
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
  return {
    ...decision,
    verdict: 'deny',
    reason,
    wouldDeny: true,
    message,
    response: response ?? plainResponse(statusOf(reason), decision.id, reason, message),
    dial: [],
  };
}

function plainResponse(status: number, id: string, reason: Reason, message: string): DenialResponse {
  return {
    status,
    headers: ['content-type', 'text/plain; charset=utf-8'],
    body: `Egress refused by Sallyport: ${reason}\n${message}\nDecision: ${id}\n`,
  };
}

/** What the client of a denied request is answered. `grpc`: its content-type was application/grpc. */
export function denialAnswer(decision: Decision, grpc: boolean): WireAnswer {
  const response =
    decision.response ?? plainResponse(statusOf(decision.reason), decision.id, decision.reason, decision.message);
  if (grpc)
    return grpcAnswer(
      decision.id,
      grpcStatus(decision.reason),
      `${decision.reason}: ${decision.message} (decision ${decision.id})`,
    );
  return {
    status: response.status,
    headers: [...response.headers, DECISION_HEADER, decision.id],
    body: Buffer.from(response.body),
  };
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
    headers: ['content-type', 'text/plain; charset=utf-8', DECISION_HEADER, decision.id],
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
      DECISION_HEADER,
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
