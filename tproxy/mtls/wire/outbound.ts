/** A connection of a pod of ours to an enrolled one: wrapped, and dialled under the pod's own address. */
import type {Socket} from 'node:net';
import {connect, type TLSSocket} from 'node:tls';
import type {Identity} from '../identity/identity.ts';
import type {Carried} from './carried.ts';
import {contextOf, MTLS_ALPN} from './contexts.ts';
import {sealEnds} from './ending.ts';
import {ignore} from './joint.ts';
import {wrongPeer} from './peer.ts';

export function acceptOutbound(carried: Carried): void {
  const {services, source, destination, socket} = carried;
  const enrolment = services.enrolment();
  const peer = enrolment.of(destination.ip);
  const own = enrolment.of(source.ip);
  const plain = (): void =>
    carried.dial(source, destination, (far) => {
      const near = {stream: socket, raw: socket};
      carried.join(near, {stream: far, raw: far}, {protectedBy: 'plain', peerId: null}, null, 'mtls.out-plain');
    });
  // The kernel has the table of a moment ago.
  if (own === null || peer === null || peer.plainPorts.has(destination.port)) return plain();
  const identity = services.identityOf(source.ip);
  if (identity === null) {
    if (own.mode === 'Permissive' && peer.mode === 'Permissive') plain();
    else carried.refuse('the pod has no certificate (yet), and one of both is Strict');
    return;
  }
  carried.dial(source, destination, (raw) => {
    carried.deadline(services.limits.handshakeTimeoutMs, () => carried.refuse('its handshake took too long'));
    const tls = wrap(raw, identity);
    let why = 'it ended; is mTLS on at its node?';
    const left = (): void => carried.refuse(`the handshake with it failed: ${why}`);
    tls.on('error', (error: NodeJS.ErrnoException) => (why = error.code ?? error.message));
    tls.once('close', left);
    tls.once('secureConnect', () => {
      if (carried.over) return;
      const wrong = wrongPeer(tls, identity, peer.spiffeId);
      if (wrong !== null) {
        carried.refuse(`the server is not whom we want: ${wrong}`);
        return;
      }
      tls.off('close', left);
      const footing = {protectedBy: 'mtls', peerId: peer.spiffeId} as const;
      carried.join({stream: socket, raw: socket}, {stream: tls, raw}, footing, null, 'mtls.out');
    });
  });
}

/** The client's half of a handshake; nothing may be written before the peer was judged at 'secureConnect'. */
export function wrap(raw: Socket, identity: Identity): TLSSocket {
  raw.on('error', ignore);
  const tls = connect({
    socket: raw,
    secureContext: contextOf(identity),
    ALPNProtocols: [MTLS_ALPN],
    // Judged by verifyPeer(), which knows more than chains, dates and DNS names.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  tls.once('secureConnect', () => sealEnds(tls, 'client'));
  return tls;
}
