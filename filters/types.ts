/** For authors of filters: `import type {RequestFlow} from …`, the types and nothing else, for a filter runs in a process of its own. */

/** Header lines with their order and letter case. Names are compared without letter case; values are Latin-1 text. */
export interface FlowHeaders extends Iterable<readonly [name: string, value: string]> {
  /** All lines of this name joined with ", "; null where there is none. */
  get(name: string): string | null;
  /** Each line of this name alone. */
  getAll(name: string): readonly string[];
  has(name: string): boolean;
  /** One line in place of all of this name. Throws for Host, framing and hop-by-hop fields, and for what is no field. */
  set(name: string, value: string): void;
  /** One more line. Throws as set does. */
  add(name: string, value: string): void;
  /** No line of this name any more. Throws for Host, framing and hop-by-hop fields. */
  delete(name: string): void;
}

/** A request as it was received, allowed by the policy already. Read-only but for the headers. */
export interface FlowRequest {
  readonly method: string;
  readonly scheme: 'https' | 'http';
  /** Lower-case, without port. */
  readonly host: string;
  readonly port: number;
  /** As it came, escapes and all, without the query. */
  readonly path: string;
  /** What follows the first `?`, as it came; null where there is none. */
  readonly query: string | null;
  readonly headers: FlowHeaders;
}

/** The pod that sent it. */
export interface FlowWorkload {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
}

/** An answer in place of the upstream's. */
export interface FlowAnswer {
  /** 200-599. */
  readonly status: number;
  /** A list sends the header several times. Default: content-type text/plain. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string;
}

export interface RequestFlow {
  /** The decision's id, as in the log. */
  readonly id: string;
  readonly request: FlowRequest;
  readonly workload: FlowWorkload;
  /** Ends the flow as a denial (FilterDenied) with this response; later filters do not run. At most once. */
  respond(answer: FlowAnswer): void;
}

/** `request` is here for reading: changing its headers throws. */
export interface ResponseFlow extends RequestFlow {
  readonly response: {readonly status: number; readonly headers: FlowHeaders};
}

/** What a filter module exports: one of them or both. */
export interface Filter {
  readonly request?: (flow: RequestFlow) => void | Promise<void>;
  readonly response?: (flow: ResponseFlow) => void | Promise<void>;
}
