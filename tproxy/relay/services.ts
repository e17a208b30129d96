/** What the relay is given, and what it is to its worker. */
import type {Socket} from 'node:net';
import type {LeafSource} from '../../pki/contract.ts';
import type {
  Address,
  Decision,
  EgressRequest,
  Endpoint,
  Names,
  Needs,
  PolicySet,
  Workload,
} from '../../policy/index.ts';
import type {CaptureProof} from '../../runtime/capture-proof.ts';
import type {Journal} from '../../runtime/journal.ts';
import type {Filters} from '../../filters/contract.ts';
import type {Upstream} from '../upstream/contract.ts';
import type {RelayLimits} from './limits.ts';
import type {Held} from './usage.ts';

/** Events worth a counter; no names of hosts or paths among the labels (DESIGN §7). */
export type RelayEvent =
  | 'connection.captured'
  | 'connection.explicit'
  | 'connection.limited'
  | 'handshake.done'
  | 'handshake.failed'
  | 'leaf.rejected'
  | 'proof.given'
  | 'timeout';

/** A limit that was met: by its name in limits.ts, without the `PerWorkload`. */
export type Limited =
  | 'connections'
  | 'requests'
  | 'streams'
  | 'controlFrames'
  | 'streamResets'
  | 'headerBytes'
  | 'lookups'
  | 'mints'
  | 'waitingHandshakes';

export type Decide = (policies: PolicySet | 'not-loaded', request: EgressRequest, names: Names) => Decision | Needs;

export interface RelayServices {
  /** The compiled policies of this moment; 'not-loaded' before the first load: everything is refused (503 PolicyNotLoaded). */
  policies(): PolicySet | 'not-loaded';
  /** Pure; policy/'s decide, injected for tests. */
  readonly decide: Decide;
  workloadAt(ip: Address): Workload | 'unknown';
  /** Whether resolve() would call back at once, so that lookups can be limited per workload; where it is missing each question counts as one. */
  known?(names: readonly string[]): boolean;
  /** Look names up; may call back at once. `recent`: with the addresses a name had a short while ago. `owner`: whose question it is. */
  resolve(names: readonly string[], recent: boolean, done: (names: Names) => void, owner: string): void;
  /** `has`: whether a context is there without minting; where it is missing every handshake counts as a mint. */
  readonly leaves: LeafSource & {has?(name: string): boolean};
  readonly upstream: Upstream;
  readonly filters: Filters | null;
  readonly journal: Journal;
  /** Whether this is one of our own listeners: never connected to on a client's behalf (invariant 6). */
  isOwnListener(ip: Address, port: number): boolean;
  /** What a captured workload is told at the proof's address; where it is missing, that address is like any other. */
  proof?(workload: Workload): CaptureProof;
  readonly limits?: Partial<RelayLimits>;
  count?(event: RelayEvent): void;
  /** Something was refused or cut because of a limit. */
  limited?(what: Limited): void;
}

export interface Relay {
  /** A connection that capture handed over: its local address is the original destination, or `original` is (REDIRECT). The listener must set allowHalfOpen. */
  captured(socket: Socket, original?: Endpoint | null): void;
  /** A connection to the explicit proxy port. The listener must set allowHalfOpen. */
  explicit(socket: Socket): void;
  /** The policies are others now: everything that lives is decided again. */
  policiesChanged(): void;
  /** The workload table is another now: connections of who is gone are closed, the others decided again. */
  workloadsChanged(): void;
  /** Stop keeping connections; what still lives after `deadlineMs` is cut. */
  drain(deadlineMs: number): void;
  /** Of those that were open when drain() was called: how many still are. */
  undrained(): number;
  /** Open client connections. */
  connections(): number;
  /** What all workloads hold together, for metrics and for those who look for leaks. */
  held(): Readonly<Held> & {readonly workloads: number};
  /** Cut everything now and stop the clock. */
  close(): void;
}
