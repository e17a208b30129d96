/** Where the tour takes place. Root gives network namespaces; without it, everything is on loopback and by the explicit port. */
import type {CommandResult} from './check.ts';

export interface Ground {
  /** What it is, for the reader; a line each. */
  readonly introduction: readonly string[];
  /** Whether pods are captured by the kernel: then ping, plain sockets and the free pod's freedom can be shown too. */
  readonly captures: boolean;
  /** Where the tour writes its files. */
  readonly dir: string;
  /** The name of the UpstreamProxy that rules go out by; null: direct. */
  readonly via: string | null;
  /** Runs a program as the free or the locked pod would. `trust`: which CA bundle its environment names. */
  run(pod: 'free' | 'locked', argv: readonly string[], trust: 'public' | 'sallyport'): Promise<CommandResult>;
  /** Starts `sallyport tproxy` on the tour's files; resolves when it is ready. */
  startProxy(onLine: (line: string) => void): Promise<void>;
  /** Starts a real squid and answers its address as an UpstreamProxy endpoint; null: there is none here, said why. */
  startSquid(): Promise<{readonly url: string; readonly log: () => string} | {readonly missing: string}>;
  /** How to type a command as a pod, for those who stay. */
  prompt(pod: 'free' | 'locked'): string;
  close(): Promise<void>;
}
