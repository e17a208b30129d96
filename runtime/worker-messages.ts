/** What a supervisor and its workers say to each other, over the fork's channel (structured clone). */
import type {Denials} from './denials.ts';

/** `C`: the role's configuration; `S`: its whole state. */
export type ToWorker<C, S> =
  | {readonly kind: 'start'; readonly config: C; readonly state: S}
  | {readonly kind: 'state'; readonly state: S}
  | {readonly kind: 'metrics'; readonly question: number}
  /** Does your event loop still turn? Answered at once. */
  | {readonly kind: 'ping'}
  /** Finish what runs within the deadline, accept nothing more, exit. */
  | {readonly kind: 'drain'; readonly deadlineMs: number};

export type ToSupervisor =
  | {readonly kind: 'listening'}
  /** It could not start (a port in use, a missing capability): the message for the operator. Then it exits. */
  | {readonly kind: 'failed'; readonly message: string}
  | {readonly kind: 'applied'; readonly version: number}
  | {readonly kind: 'pong'}
  | {readonly kind: 'metrics'; readonly question: number; readonly metrics: object}
  /** What was denied since the last time; only where somebody tells it (a cluster). */
  | ({readonly kind: 'denials'} & Denials);
