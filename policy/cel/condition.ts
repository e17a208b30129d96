/** What a rule's `when` is after loading, and what it is evaluated on. Plain values, so that `decide` stays pure. */

/** Which variables an expression may name: a rule that is decided without the request sees the connection only. */
export type Sees = 'request' | 'connection';

/** The request as CEL sees it. Names lower-case; several lines of one header joined with ", ". */
export interface ConditionRequest {
  readonly method: string;
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly query: ReadonlyMap<string, readonly string[]> | Readonly<Record<string, readonly string[]>>;
  readonly headers: ReadonlyMap<string, string> | Readonly<Record<string, string>>;
}

/** One question. A `null` is unknown, not empty: an expression that comes to depend on it is unknown. */
export interface ConditionInput {
  readonly request: ConditionRequest | null;
  readonly source: {
    readonly namespace: string;
    readonly name: string;
    readonly labels: Readonly<Record<string, string>> | null;
    readonly serviceAccount: string;
  };
  readonly destination: {readonly ip: string | null; readonly port: number};
  readonly tls: {readonly sni: string | null};
}

/** `unknown`: a missing key, a null input, a type that does not fit at run time, or too costly. */
export type Truth = true | false | 'unknown';

/** A compiled `when`. */
export interface Condition {
  readonly source: string;
  /** It names `request`: without an inspected request it can only be unknown. */
  readonly needsRequest: boolean;
  /** It names `request.headers`. */
  readonly needsHeaders: boolean;
  /** It names `destination.ip`: to be judged per address. */
  readonly usesDestinationIp: boolean;
  /** Never throws; bounded in time by the limits in limits.ts. */
  evaluate(input: ConditionInput): Truth;
}
