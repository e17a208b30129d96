import type {Address, HeaderLines} from './request.ts';
import type {Reason} from './reasons.ts';

/** Header changes of a rule. Names lower-case. */
export interface Mutations {
  readonly set: Readonly<Record<string, string>>;
  readonly add: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
}

/** What a refused client gets; a gRPC request gets it translated (runtime of the dataplane does that). */
export interface DenialResponse {
  readonly status: number;
  /** name, value, ... with content-type among them; no framing headers. */
  readonly headers: HeaderLines;
  readonly body: string;
}

/** How an allowed connection leaves. */
export type Via =
  | {readonly kind: 'direct'}
  /** Through the parent: `name` sends the host name (resolve Both and Proxy), `address` the checked address (Local, tcp). */
  | {readonly kind: 'proxy'; readonly proxy: string; readonly sends: 'name' | 'address'}
  /** A rule names an UpstreamProxy that does not exist: 502 UpstreamUnreachable, never direct. */
  | {readonly kind: 'missing'; readonly proxy: string};

export interface Decision {
  readonly id: string;
  readonly verdict: 'allow' | 'deny';
  /** false where the verdict is allow and every selecting policy is Audit, whatever `wouldDeny` says. */
  readonly enforced: boolean;
  readonly reason: Reason;
  /** The deciding policy and rule; null where none did. `namespace` is null for a cluster policy. */
  readonly policy: {readonly namespace: string | null; readonly name: string} | null;
  readonly rule: string | null;
  /** Would it be denied if every selecting policy enforced? Equal to verdict === 'deny' where all enforce. */
  readonly wouldDeny: boolean | 'unknown';
  /** One sentence for the operator and `explain`: what decided, on what. No client bytes raw, no secrets. */
  readonly message: string;
  /** Set exactly where the verdict is deny. */
  readonly response: DenialResponse | null;
  readonly requestMutations: Mutations;
  readonly responseMutations: Mutations;
  readonly via: Via;
  /** A refused TLS connection is finished with a leaf so that `response` can be read (else it is reset). */
  readonly inspect: boolean;
  /** The addresses that were judged and may be dialled, in order. Empty where a parent resolves (resolve: Proxy). */
  readonly dial: readonly Address[];
}

/** What has to be known before the decision can be made; ask again with it. */
export type Needs =
  /** Read from the client and say what it is (traffic no longer 'unread'). */
  | {readonly needs: 'bytes'}
  /** Decrypt the connection and ask with each request (traffic 'https'). */
  | {readonly needs: 'request'}
  /** Look these names up. `recent`: addresses that a name had a short while ago count too (tcp rules: membership, not dialling). */
  | {readonly needs: 'addresses'; readonly of: readonly string[]; readonly recent: boolean};

/** Looked-up names, lower-case without trailing dot. Empty list: exists without addresses; 'failed': no answer. */
export type Names = ReadonlyMap<string, readonly Address[] | 'failed'>;

export function isDecision(answer: Decision | Needs): answer is Decision {
  return !('needs' in answer);
}
