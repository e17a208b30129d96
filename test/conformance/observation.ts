/** What a target saw of one step: plain data, so that it can be compared, and compared again with flipped expectations. */

/** What the target decided, as its log (or the decision itself) says. */
export interface ObservedDecision {
  readonly verdict: 'allow' | 'deny';
  readonly reason: string;
  /** policy/rule; null where no rule decided. */
  readonly rule: string | null;
  readonly wouldDeny: boolean | 'unknown';
}

/** What the client of the step got. */
export type Answer =
  | {
      readonly kind: 'response';
      readonly status: number;
      /** Lower-case names, one entry a line. */
      readonly headers: ReadonlyMap<string, readonly string[]>;
      readonly body: string;
    }
  /** Bytes that are no HTTP response (an echo, a ping's reply). */
  | {readonly kind: 'bytes'; readonly latin1: string}
  /** Reset, closed, unreachable or timed out before any answer. */
  | {readonly kind: 'refused'; readonly how: string}
  /** The client itself could not do what the step says: a FAIL whatever is expected. */
  | {readonly kind: 'failed'; readonly why: string};

/** One server of the world that saw something. */
export interface Sighting {
  readonly server: string;
  /** `request`: a whole head; `bytes`: anything else after the handshake; `connect`: a parent's CONNECT. */
  readonly how: 'request' | 'bytes' | 'connect';
  /** Whether the server is a parent proxy. */
  readonly parent: boolean;
  /** Whether it is a parent that passed the request on. */
  readonly passedOn: boolean;
  /** The parent that carried it here; null: it came directly. */
  readonly carriedBy: string | null;
  readonly method: string | null;
  /** Path and query as they came. */
  readonly target: string | null;
  /** Lower-case names, one entry a line. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
}

export interface Observation {
  /** null: the target decided nothing during the step. */
  readonly decision: ObservedDecision | null;
  /** null: the target has no client (policy, for what is allowed). */
  readonly answer: Answer | null;
  /** Statuses of all the responses of a raw step. */
  readonly responses: readonly number[];
  /** Whether the connection of a raw step was closed by the other side; null: not watched. */
  readonly closed: boolean | null;
  /** A kept connection that was no longer open when the step came to use it. */
  readonly connectionWasClosed: boolean;
  /** null: the target has no servers. */
  readonly sightings: readonly Sighting[] | null;
  /** The headers that an upstream would see, where the target has no servers but knows the mutations. */
  readonly forwarded: ReadonlyMap<string, readonly string[]> | null;
  /** Of an apply step: what loading said. `error` null: it was loaded. */
  readonly load: {readonly error: string | null} | null;
  /** Things to show beside a difference: log lines, what curl said. */
  readonly notes: readonly string[];
}

export const NOTHING_OBSERVED: Observation = {
  decision: null,
  answer: null,
  responses: [],
  closed: null,
  connectionWasClosed: false,
  sightings: null,
  forwarded: null,
  load: null,
  notes: [],
};

/** Header lines (name, value, name, value ...) by lower-case name. */
export function headerMap(lines: readonly string[]): Map<string, readonly string[]> {
  const map = new Map<string, string[]>();
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = lines[i]!.toLowerCase();
    const values = map.get(name);
    if (values === undefined) map.set(name, [lines[i + 1]!]);
    else values.push(lines[i + 1]!);
  }
  return map;
}
