/** What a refused client is told. Every denial can be found again by its id. */
import type {DenialResponse} from './decision.ts';
import type {Reason} from './reasons.ts';

/** Carries the id where the body is the policy's own; sent beside the default body too. */
export const DENIAL_HEADER = 'x-sallyport-denial';

export interface Denial {
  readonly id: string;
  readonly reason: Reason;
  /** `namespace/name` or a cluster policy's name; null: none decided. */
  readonly policy: string | null;
  readonly rule: string | null;
  readonly message: string;
}

/** Refusals that a policy words: by its rules, or for the lack of one. All others keep a status of their own. */
export function isPolicyRefusal(reason: Reason): boolean {
  return (
    reason === 'RuleDenied' ||
    reason === 'NoRuleMatched' ||
    reason === 'DestinationForbidden' ||
    reason === 'Uninspectable'
  );
}

/** The status of a refusal that no policy words (POLICY.md, below the order of decision). */
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
      return 502;
    case 'PolicyNotLoaded':
    case 'Overloaded':
    case 'LimitExceeded':
      return 503;
    default:
      return 403;
  }
}

/** What the reader of a denial can do about it. */
export function adviceOf(reason: Reason): string {
  switch (reason) {
    case 'RuleDenied':
      return 'A Deny rule forbids this. Ask the owners of that policy, with the id above.';
    case 'NoRuleMatched':
      return 'No Allow rule covers this request. Ask for one that names this host, port, method and path.';
    case 'NoPolicySelects':
      return 'No egress policy selects this workload. Ask for one that selects it and allows this destination.';
    case 'UnknownWorkload':
      return 'The source address belongs to no known workload. Ask the platform team, with the id above.';
    case 'DestinationForbidden':
      return 'The name resolves to an address that the rule does not open. Ask for a `cidrs` entry that holds it.';
    case 'Uninspectable':
      return 'The rules need to see the request, and this connection cannot be inspected. Ask for an https rule, or for a change of the Deny rule.';
    case 'HostMismatch':
      return 'SNI, Host and CONNECT authority have to name the same host and port. Correct the client.';
    case 'AmbiguousPath':
      return 'Servers read this path or these headers in different ways. Send the plain form: no escapes of slashes, dots or control characters, no override headers.';
    case 'MalformedRequest':
      return 'The request is not valid HTTP. Correct the client.';
    case 'UnsupportedProtocol':
      return 'This protocol cannot be checked. Use plain HTTP, TLS without encrypted ClientHello, or WebSocket.';
    case 'Unresolvable':
      return 'The name could not be looked up. Check its spelling and the DNS.';
    case 'PolicyNotLoaded':
      return 'The policies are not loaded yet. Try again in a moment.';
    default:
      return 'Ask the platform team, with the id above.';
  }
}

/** What a policy words itself; `body` null: the default text under its status and headers. */
type OwnResponse = Omit<DenialResponse, 'body'> & {readonly body: string | null};

/** `own`: the policy's `deny`, where the refusal is one that a policy words. */
export function denialResponse(denial: Denial, own: OwnResponse | null): DenialResponse {
  if (own === null || !isPolicyRefusal(denial.reason))
    return {
      status: statusOf(denial.reason),
      headers: ['content-type', 'text/plain; charset=utf-8', 'cache-control', 'no-store', DENIAL_HEADER, denial.id],
      body: defaultBody(denial),
    };
  return {
    status: own.status,
    headers: [...own.headers, DENIAL_HEADER, denial.id],
    body: own.body ?? defaultBody(denial),
  };
}

function defaultBody({id, reason, policy, rule, message}: Denial): string {
  return [
    `Sallyport refused this: ${reason}`,
    message,
    '',
    `policy: ${policy ?? 'none'}`,
    `rule: ${rule ?? 'none'}`,
    `denial id: ${id}`,
    '',
    adviceOf(reason),
    `To learn more: sallyport explain ${id} --log FILE`,
    '',
  ].join('\n');
}
