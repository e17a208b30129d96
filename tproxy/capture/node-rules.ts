/** The capture of a node, as those see it who start it and tell it whom to hold. */
import type {Commands} from './commands.ts';
import type {CaptureConfig, Member} from './config.ts';

export type Notice = (level: 'info' | 'warn' | 'error', event: string, message: string) => void;

export interface CaptureOptions {
  readonly config: CaptureConfig;
  /** What an operator should know: `capture.started`, `.cut`, `.drift`, `.unguarded`, `.unplaced`, `.failed`, `.released`. */
  readonly onNotice: Notice;
  /** This node's own addresses may have changed. */
  readonly onAddresses?: () => void;
  /** Default: this machine. */
  readonly commands?: Commands;
  /** Members that are not said any more stay held until their interface is gone. Default: they are free at once. */
  readonly keepEnded?: boolean;
  /** How often the rules are compared with what they should be, beside the kernel's own notifications. Default 10 s. */
  readonly checkIntervalMs?: number;
}

export interface CaptureStatus {
  /** The rules are in the kernel as they should be. */
  readonly inForce: boolean;
  /** Beside them is the guard, which nobody else can take away while we live. */
  readonly guarded: boolean;
  readonly locked: number;
  readonly captured: number;
  /** Held to the mesh's destinations. */
  readonly sidecars: number;
  /** Of the locked ones: their pod is said to be gone, and its interface is still there. */
  readonly ended: readonly string[];
  /** Addresses that no route leads to: closed wherever they come from. */
  readonly unplaced: readonly string[];
  /** How often somebody else changed the rules. */
  readonly drifts: number;
  readonly lastError: string | null;
}

export interface NodeRules {
  /** Whether rules of ours are in the kernel: an earlier run's, or what start() put there. */
  present(): Promise<boolean>;
  /**
   * Replaces what an earlier run left; resolves when the members are held. Throws SallyportError with what is missing.
   * `podCidrs`: as in Capture; `ownCidrs`: this node's own addresses now, beside those of the configuration.
   */
  start(members: readonly Member[], podCidrs?: readonly string[], ownCidrs?: readonly string[]): Promise<void>;
  /** All members there are now. Resolves when the kernel holds them. Rejects, with the former ones still held, where it refuses. */
  update(members: readonly Member[], podCidrs?: readonly string[], ownCidrs?: readonly string[]): Promise<void>;
  /** Compares the kernel with what should be there, and puts it back; resolves with whether it had been changed. */
  check(): Promise<boolean>;
  /** Packets by counter, never falling. */
  counters(): Promise<Map<string, number>>;
  status(): CaptureStatus;
  /** Takes everything away: the members are free. */
  release(): Promise<void>;
  /** Stops watching. The rules stay. */
  close(): Promise<void>;
}
