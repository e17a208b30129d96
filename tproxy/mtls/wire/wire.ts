/** The wire of one worker: captured connections in, mTLS out, and the reverse. */
import type {Socket} from 'node:net';
import type {Endpoint} from '../../../policy/index.ts';
import {reset} from '../../capture/sockets.ts';
import {Carried, type Living} from './carried.ts';
import {acceptInbound} from './inbound.ts';
import {ignore} from './joint.ts';
import {acceptOutbound} from './outbound.ts';
import {WIRE_KEEP_ALIVE_MS, type WireLimits} from './limits.ts';
import type {WireServices} from './services.ts';

export interface Wire {
  /** Takes over a captured socket (allowHalfOpen, paused or not read yet). */
  accept(socket: Socket, source: Endpoint, destination: Endpoint): void;
  /** How many it carries. */
  connections(): number;
  /** The workloads are others: what could not be opened now as it was opened then is cut. */
  recheck(): void;
  /** Cuts everything. */
  close(): void;
}

export function createWire(services: WireServices): Wire {
  const living: Living = {carried: new Set(), bySource: new Map()};
  const {limits} = services;
  return {
    accept(socket, source, destination) {
      const full = fullOf(living, source.ip, limits);
      if (full !== null) {
        services.count('mtls.refused');
        const to = `${destination.ip}:${destination.port}`;
        services.journal.notice('warn', 'mtls.refused', `${source.ip} to ${to}: ${full}`, {source: source.ip});
        socket.on('error', ignore);
        reset(socket);
        return;
      }
      socket.setKeepAlive(true, WIRE_KEEP_ALIVE_MS);
      const inbound = services.isHere(destination.ip);
      const carried = new Carried(services, living, inbound ? 'in' : 'out', socket, source, destination);
      if (inbound) acceptInbound(carried);
      else acceptOutbound(carried);
    },
    connections: () => living.carried.size,
    recheck() {
      for (const carried of living.carried) if (carried.isOutdated()) carried.destroy();
    },
    close() {
      for (const carried of living.carried) carried.destroy();
    },
  };
}

/** Which limit is reached; null: none. */
function fullOf({carried, bySource}: Living, source: string, limits: WireLimits): string | null {
  if (carried.size >= limits.connections) return `more than ${limits.connections} connections are open`;
  if ((bySource.get(source) ?? 0) < limits.connectionsPerSource) return null;
  return `more than ${limits.connectionsPerSource} connections of it are open`;
}
