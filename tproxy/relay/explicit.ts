/** The explicit proxy port: programs that were told. */
import type {Socket} from 'node:net';
import {admit} from './captured.ts';
import {ClientConnection} from './connection.ts';
import {serveH1} from './client-h1.ts';
import type {Core} from './core.ts';
import {canonicalAddress} from './naming.ts';

/** Take over a socket of the explicit port. */
export function acceptExplicit(core: Core, socket: Socket): void {
  const source = {ip: canonicalAddress(socket.remoteAddress), port: socket.remotePort ?? 0};
  if (source.ip === '') {
    socket.destroy();
    return;
  }
  core.services.count?.('connection.explicit');
  // Where to is said by each request.
  const admitted = admit(
    core,
    socket,
    () => new ClientConnection(core, socket, 'explicit', source, {ip: null, port: 0, host: null}),
  );
  if (admitted !== null)
    serveH1(admitted.connection, socket, {tls: null, forced: admitted.forced, first: Buffer.alloc(0), explicit: true});
}
