/** Connections that capture handed over: the socket's own address is where the client wanted to go. */
import type {Socket} from 'node:net';
import type {Decision, Endpoint} from '../../policy/index.ts';
import {reset} from '../capture/sockets.ts';
import {refusal} from './answers.ts';
import {ClientConnection} from './connection.ts';
import {limited, type Core} from './core.ts';
import {FirstBytes} from './first-bytes.ts';
import {trusts} from './judge.ts';
import type {RelayLimits} from './limits.ts';
import {canonicalAddress} from './naming.ts';
import {isProofAddress, prove} from './proof.ts';
import {MODEST_SHARE, type Usage} from './usage.ts';

/** Take over a captured socket. `original`: where it wanted to go, where capture changed the socket's own address (REDIRECT). */
export function acceptCaptured(core: Core, socket: Socket, original: Endpoint | null): void {
  const source = {ip: canonicalAddress(socket.remoteAddress), port: socket.remotePort ?? 0};
  const ip = canonicalAddress(original?.ip ?? socket.localAddress);
  const destination = {ip, port: original?.port ?? socket.localPort ?? 0, host: null};
  // Gone before it was accepted, or dialled straight to our own port: dialling on would be a loop (invariant 6).
  if (source.ip === '' || core.services.isOwnListener(destination.ip, destination.port)) {
    reset(socket);
    return;
  }
  core.services.count?.('connection.captured');
  const over = admit(core, socket, () => new ClientConnection(core, socket, 'captured', source, destination));
  if (over === null) return;
  const {connection, forced} = over;
  const {services} = core;
  // Whom we do not know is proved nothing, and is refused there as everywhere.
  if (forced === null && connection.workload !== 'unknown' && services.proof !== undefined && isProofAddress(ip))
    prove(connection, connection.workload, (workload) => services.proof!(workload));
  else new FirstBytes(connection, forced).start(Buffer.alloc(0));
}

/**
 * Limits before anything else is spent: above them a connection is answered with 503 as long as few are, then reset.
 * The connection is made only where it will be served.
 */
export function admit(
  core: Core,
  socket: Socket,
  make: () => ClientConnection,
): {readonly connection: ClientConnection; readonly forced: Decision | null} | null {
  const {limits, live} = core;
  const all = live.usages.all.connections;
  if (all >= limits.connections + limits.reservedConnections + limits.answeredAboveLimit) {
    limited(core, 'connections');
    reset(socket);
    return null;
  }
  const connection = make();
  const {usage} = connection;
  const crowded = all >= limits.connections + (isModest(usage, limits) ? limits.reservedConnections : 0);
  const above = Math.max(crowded ? all + 1 - limits.connections : 0, usage.connections - limits.connectionsPerWorkload);
  if (above <= 0) return {connection, forced: null};
  limited(core, 'connections');
  if (above > limits.answeredAboveLimit) {
    connection.destroy();
    return null;
  }
  const request = connection.ask({kind: 'unread'});
  return {
    connection,
    forced: refusal(
      request.id,
      'LimitExceeded',
      'This workload has too many connections open at once; close some.',
      trusts(request),
    ),
  };
}

/** Below a hundredth of its own limit: let in where those who fill the limit in all would shut it out. */
function isModest(usage: Usage, limits: RelayLimits): boolean {
  return usage.known && usage.connections <= limits.connectionsPerWorkload / MODEST_SHARE;
}
