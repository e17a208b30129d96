/** What a carried connection rests on, and whether it would still be opened so. Pure. */
import type {Endpoint} from '../../../policy/index.ts';
import type {WireServices} from './services.ts';

/** What a connection rests on, besides its two addresses. */
export interface Footing {
  readonly protectedBy: 'mtls' | 'plain';
  /** The peer's SPIFFE id that was verified; null with plain. */
  readonly peerId: string | null;
}

/** From our side: `in` is towards a pod of ours, `out` from one. */
export interface Way {
  readonly direction: 'in' | 'out';
  readonly source: Endpoint;
  readonly destination: Endpoint;
}

/** Whether, by the table as it is now, the peer's address is another's, or what is plain may not be. */
export function isOutdated(
  {protectedBy, peerId}: Footing,
  {direction, source, destination}: Way,
  services: Pick<WireServices, 'enrolment' | 'isHere'>,
): boolean {
  const enrolment = services.enrolment();
  if (protectedBy === 'mtls') return enrolment.of(direction === 'in' ? source.ip : destination.ip)?.spiffeId !== peerId;
  const server = enrolment.of(destination.ip);
  // Outside of the set, or a port that is left plain: nothing was promised.
  if (server === null || server.plainPorts.has(destination.port)) return false;
  if (direction === 'in') return server.mode === 'Strict';
  const client = enrolment.of(source.ip);
  // Both are here: on no wire (ADR 22), or a pod that speaks to itself.
  if (client !== null && services.isHere(source.ip) && services.isHere(destination.ip)) return false;
  return server.mode === 'Strict' || client?.mode === 'Strict';
}
