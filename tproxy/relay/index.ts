/** The relay: what happens to a client's connection, from its first byte to its last. */
import {performance} from 'node:perf_hooks';
import {AuditMemory} from './audit-memory.ts';
import {acceptCaptured} from './captured.ts';
import type {Core} from './core.ts';
import {acceptExplicit} from './explicit.ts';
import {HandshakeTurns} from './handshake-turns.ts';
import {RELAY_LIMITS, SWEEP_MS} from './limits.ts';
import {Live, type LivingConnection} from './live.ts';
import {RequestTurns} from './request-turns.ts';
import type {Relay, RelayServices} from './services.ts';

export type {Decide, Limited, Relay, RelayEvent, RelayServices} from './services.ts';
export type {RelayLimits} from './limits.ts';
export {RELAY_LIMITS} from './limits.ts';

/** Make the relay. Its clock ticks until close(). */
export function createRelay(services: RelayServices): Relay {
  const limits = {...RELAY_LIMITS, ...services.limits};
  const live = new Live(limits);
  const core: Core = {
    services,
    limits,
    live,
    turns: new HandshakeTurns(limits, live.usages),
    requestTurns: new RequestTurns(limits),
    audit: new AuditMemory(limits.auditMemory),
    draining: false,
    drained: false,
    now: () => performance.now(),
  };
  const clock = setInterval(() => live.sweep(core.now()), SWEEP_MS);
  let deadline: NodeJS.Timeout | null = null;
  let atDrain: readonly LivingConnection[] = [];
  const cutAll = (): void => {
    for (const connection of live.connections) connection.destroy();
  };
  return {
    captured: (socket, original = null) => acceptCaptured(core, socket, original),
    explicit: (socket) => acceptExplicit(core, socket),
    policiesChanged: () => live.recheck(),
    workloadsChanged: () => {
      for (const connection of live.connections) connection.workloadChanged();
      live.recheck();
    },
    drain: (deadlineMs) => {
      core.draining = true;
      atDrain = [...live.connections];
      for (const connection of live.connections) connection.drain();
      deadline ??= setTimeout(() => {
        const open = live.connections.size;
        core.drained = true;
        if (open > 0)
          services.journal.notice(
            'warn',
            'tproxy.cut',
            `${open} connections still open after ${deadlineMs / 1000} s: cut`,
          );
        cutAll();
      }, deadlineMs);
    },
    undrained: () => atDrain.filter((connection) => live.connections.has(connection)).length,
    connections: () => live.connections.size,
    held: () => ({...live.usages.all, workloads: live.usages.workloads}),
    close: () => {
      clearInterval(clock);
      if (deadline !== null) clearTimeout(deadline);
      cutAll();
    },
  };
}
