/** What the wire needs of whoever runs it. */
import type {Socket} from 'node:net';
import type {Address, Endpoint} from '../../../policy/index.ts';
import type {Journal} from '../../../runtime/journal.ts';
import type {Enrolment} from '../enrolment.ts';
import type {Identity} from '../identity/identity.ts';
import type {WireLimits} from './limits.ts';

/** Counted, each connection once: how it was carried, or that it was refused. */
export type WireEvent = 'mtls.in' | 'mtls.out' | 'mtls.in-plain' | 'mtls.out-plain' | 'mtls.refused';

export interface WireServices {
  enrolment(): Enrolment;
  /** Whether the address is a pod's that we speak for. */
  isHere(address: Address): boolean;
  /** What the pod at this address shows; null: there is none now. */
  identityOf(address: Address): Identity | null;
  /** Dials under `source`: its address, and its port where that is not 0. Throws where no such socket can be made. */
  dial(source: Endpoint, destination: Endpoint): Socket;
  readonly journal: Pick<Journal, 'notice'>;
  count(event: WireEvent): void;
  readonly limits: WireLimits;
}
