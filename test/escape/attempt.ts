/** One way out of a locked pod, as a value. */
import type {Socket} from 'node:net';
import type {ExecOptions, ExecResult} from '../lab/index.ts';
import type {World, WorldName} from './world.ts';

/** The invariants of DESIGN §10 that a way out would break. */
export type Invariant = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

export interface Attempt {
  /** Theme and name, `ports-plain`; it stays, because SECURITY.md and the list of known ones name it. */
  readonly id: string;
  /** What the program in the pod does, as a sentence without an end. */
  readonly title: string;
  readonly invariant: Invariant;
  /**
   * What is done, by the locked pod and again by the control. Its token is in whatever is sent, so that it is known
   * wherever it arrives. Resolves when there is nothing more to send or to hear. `answered` says that the other side
   * was heard, where an arrival cannot be seen there.
   */
  readonly attempt: (by: Attacker, world: World) => Promise<void | 'answered'>;
  readonly control: Control;
  /** Where it is made; default: `routed` alone. */
  readonly worlds?: readonly WorldName[];
  /** In a world of its own, which it may break. */
  readonly alone?: true;
  /** Which arrivals are ways out; default: any. For what may arrive, but not everywhere. */
  readonly out?: (place: string) => boolean;
}

/**
 * Who does the same and has to get through, or else the attempt proves nothing: a pod that nobody captures, or the node
 * itself for what only the node can reach. `instead`: where the same command would not say it, another that shows that
 * there is something to reach. `none`: why no control makes sense.
 */
export type Control =
  'free' | 'node' | {readonly instead: Attempt['attempt']; readonly by: 'free' | 'node'} | {readonly none: string};

/** Whoever makes an attempt: a pod, or as a control the node. */
export interface Attacker {
  readonly name: string;
  readonly path: string;
  readonly ip4: string;
  readonly ip6: string;
  /** 15 letters and digits, lower-case: good in a host name, a path, a payload. */
  readonly token: string;
  /** Runs a program there, to its end. */
  run(argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /** curl, silent, trusting everything, with a time limit. */
  curl(...args: readonly string[]): Promise<ExecResult>;
  /** One of programs/, by its name without ending. */
  program(name: string, ...args: readonly string[]): Promise<ExecResult>;
  /** A connection from there; errors are swallowed, 'close' tells. */
  connect(ip: string, port: number, from?: {ip: string; port?: number}): Socket;
  /** One datagram. */
  datagram(ip: string, port: number, payload: string | Buffer): Promise<void>;
  /** A connection to the explicit port; for a control, to a proxy outside that hears everything and refuses nothing. */
  explicit(): Socket;
}
