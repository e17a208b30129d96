/** What every part of the relay has at hand. */
import type {RelayServices} from './services.ts';
import type {AuditMemory} from './audit-memory.ts';
import type {RelayLimits} from './limits.ts';
import type {Live} from './live.ts';

export interface Core {
  readonly services: RelayServices;
  readonly limits: RelayLimits;
  readonly live: Live;
  readonly audit: AuditMemory;
  /** Kept connections end with their next answer. */
  draining: boolean;
  /** Milliseconds, monotonic. */
  now(): number;
}
