/** Script filters, as the relay sees them (POLICY.md "Script filters"). */
import type {DenialResponse, HeaderLines} from '../policy/index.ts';

/** What a filter is shown of a request; bodies are not. */
export interface FilterRequest {
  readonly id: string;
  readonly workload: {
    readonly namespace: string;
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly serviceAccount: string;
  };
  readonly scheme: 'https' | 'http';
  readonly host: string;
  readonly port: number;
  readonly method: string;
  readonly path: string;
  readonly query: string | null;
  readonly headers: HeaderLines;
}

export interface FilterResponse {
  readonly status: number;
  readonly headers: HeaderLines;
}

export type FilterVerdict =
  /** Go on, with these headers instead (Host, framing and hop-by-hop ones are never changed). */
  | {readonly kind: 'continue'; readonly headers: HeaderLines}
  /** The filter answered itself: a denial with its response. */
  | {readonly kind: 'answered'; readonly filter: string; readonly response: DenialResponse}
  /** It threw, overran its time, or its process is gone: denied. */
  | {readonly kind: 'failed'; readonly filter: string; readonly message: string};

export interface Filters {
  /** Whether any filter exports request (response): where not, the relay does not ask. */
  readonly hasRequest: boolean;
  readonly hasResponse: boolean;
  request(request: FilterRequest, done: (verdict: FilterVerdict) => void): void;
  response(request: FilterRequest, response: FilterResponse, done: (verdict: FilterVerdict) => void): void;
}
