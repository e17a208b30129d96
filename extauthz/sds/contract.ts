/** What the process around it gives the secret service, and what it gets. */
import type {ServiceDefinition, UntypedServiceImplementation} from '@grpc/grpc-js';
import type {LeafMint} from '../../pki/index.ts';
import type {PolicySet, Workload} from '../../policy/index.ts';
import type {Room} from './places.ts';

export interface SecretServiceOptions {
  /** What is in force now. */
  readonly policies: () => PolicySet | 'not-loaded';
  /** Everybody whose connections may come through an Envoy that asks here. */
  readonly workloads: () => Iterable<Workload>;
  readonly leaves: LeafMint;
  readonly peers: SecretPeers;
  /** What an operator has to know; texts that others chose are printable. */
  readonly notify: (event: SecretEvent) => void;
  /** Names handed out at once; DEFAULT_ROOM where absent. */
  readonly room?: Room;
  /** Unix time in ms. */
  readonly now?: () => number;
}

/** Who may ask: whoever can open our unix socket, or (over TLS) whose certificate has one of these URI or DNS names. */
export type SecretPeers = 'unix-socket' | ReadonlySet<string>;

export type SecretEvent =
  /** Somebody asked who may not. */
  | {readonly kind: 'peer-refused'; readonly identities: readonly string[]}
  /** Envoy could not use what it was sent. */
  | {readonly kind: 'rejected'; readonly names: readonly string[]; readonly message: string}
  /** A name ought to have a certificate, and none could be made. */
  | {readonly kind: 'mint-failed'; readonly name: string; readonly message: string}
  /** New names come faster than certificates are minted; some get none for the moment. */
  | {readonly kind: 'too-many-mints'; readonly perSecond: number}
  /** More streams than there may be; the new one is refused. */
  | {readonly kind: 'too-many-streams'; readonly limit: number};

/** Gauges, and counters since start. */
export interface SecretStats {
  readonly streams: number;
  readonly inspected: number;
  readonly refused: number;
  readonly none: number;
  readonly minted: number;
}

export interface SecretService {
  /** For `server.addService(definition, implementation)` of grpc-js. */
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  /** Policies, workloads or the CA are not what they were: what was handed out is judged again. Resolves when all is told. */
  changed(what: 'policies' | 'ca'): Promise<void>;
  stats(): SecretStats;
  /** Ends every stream; clients keep what they have and ask again elsewhere. */
  close(): void;
}
