/** What every part of the relay has at hand. */
import type {Limited, RelayServices} from './services.ts';
import type {AuditMemory} from './audit-memory.ts';
import type {RelayLimits} from './limits.ts';
import type {Live} from './live.ts';
import type {HandshakeTurns} from './handshake-turns.ts';
import type {RequestTurns} from './request-turns.ts';

export interface Core {
  readonly services: RelayServices;
  readonly limits: RelayLimits;
  readonly live: Live;
  readonly turns: HandshakeTurns;
  readonly requestTurns: RequestTurns;
  readonly audit: AuditMemory;
  /** Kept connections end with their next answer. */
  draining: boolean;
  /** Nothing can be waited for any longer: what still lives is cut. */
  drained: boolean;
  /** Milliseconds, monotonic. */
  now(): number;
}

/** A limit was met: the one place that counts it. */
export function limited(core: Core, what: Limited): void {
  if (what === 'connections') core.services.count?.('connection.limited');
  core.services.limited?.(what);
}
