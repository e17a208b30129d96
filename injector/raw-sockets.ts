/** Raw sockets of a captured pod: without them it cannot forge a source address, so that the lock is not alone against it. */
import type {Container} from './pod.ts';

/** Takes them from a container. */
export function dropRawSockets(container: Container): void {
  if (!hasRawSockets(container)) return;
  const capabilities = ((container.securityContext ??= {}).capabilities ??= {});
  (capabilities.drop ??= []).push('NET_RAW');
}

/**
 * Whether a container has them, as every one has that does not drop them. Only the names that every runtime drops count:
 * containerd puts `CAP_` before what is written, so `CAP_NET_RAW` drops nothing there.
 */
export function hasRawSockets({securityContext}: Container): boolean {
  const dropped = securityContext?.capabilities?.drop ?? [];
  return !dropped.includes('ALL') && !dropped.includes('NET_RAW');
}
