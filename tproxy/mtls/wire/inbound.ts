/** A connection towards a pod of ours: unwrapped, or let by as it is, and handed over with its peer's address and port. */
import {TLSSocket} from 'node:tls';
import {createClientHelloReader} from '../../../pki/client-hello.ts';
import type {Enrolled} from '../enrolment.ts';
import type {Carried} from './carried.ts';
import {contextOf, MTLS_ALPN} from './contexts.ts';
import {sealEnds} from './ending.ts';
import {ignore} from './joint.ts';
import {wrongPeer} from './peer.ts';

/**
 * In this order: 1. a port that is left plain, and a pod that is not enrolled any more: as it is, at once. 2. A peer that is not
 * enrolled: plain, at once, or refused (Strict). 3. The first bytes: our ClientHello is unwrapped; everything else, and silence for
 * `peekTimeoutMs`, is plain: passed (Permissive) or refused (Strict).
 */
export function acceptInbound(carried: Carried): void {
  const {services, source, destination} = carried;
  const enrolment = services.enrolment();
  const own = enrolment.of(destination.ip);
  if (own === null || own.plainPorts.has(destination.port)) return plain(carried, null);
  const peer = enrolment.of(source.ip);
  if (peer === null) {
    if (own.mode === 'Permissive') plain(carried, null);
    else carried.refuse('plain, from an address that is not enrolled, to a Strict pod');
    return;
  }
  peek(carried, own, peer);
}

function peek(carried: Carried, own: Enrolled, peer: Enrolled): void {
  const {socket, services} = carried;
  const {limits} = services;
  const reader = createClientHelloReader();
  const chunks: Buffer[] = [];
  let bytes = 0;
  const done = (): Buffer => {
    socket.off('data', read);
    socket.off('end', ended);
    socket.pause();
    return Buffer.concat(chunks);
  };
  const notOurs = (what: string): void => {
    const first = done();
    if (own.mode === 'Permissive') plain(carried, first);
    else carried.refuse(`${what}, to a Strict pod`);
  };
  const read = (chunk: Buffer): void => {
    chunks.push(chunk);
    bytes += chunk.length;
    const result = reader.push(chunk);
    switch (result.kind) {
      case 'more':
        if (bytes > limits.helloBytes) notOurs('a ClientHello that is longer than ours');
        return;
      case 'done':
        if (result.hello.alpn.includes(MTLS_ALPN)) unwrap(carried, peer, done());
        else notOurs('TLS of its own');
        return;
      case 'bad':
        notOurs('plain');
        return;
    }
  };
  const ended = (): void => notOurs('plain');
  socket.on('data', read);
  socket.once('end', ended);
  socket.resume();
  // Strict waits for as long as a handshake may take; Permissive must let those speak whose server speaks first.
  const waits = own.mode === 'Permissive' ? limits.peekTimeoutMs : limits.handshakeTimeoutMs;
  carried.deadline(waits, () => notOurs(chunks.length === 0 ? 'silence' : 'half a ClientHello'));
}

function plain(carried: Carried, first: Buffer | null): void {
  const {socket, source, destination} = carried;
  carried.dial(source, destination, (program) => {
    const near = {stream: socket, raw: socket};
    carried.join(near, {stream: program, raw: program}, {protectedBy: 'plain', peerId: null}, first, 'mtls.in-plain');
  });
}

function unwrap(carried: Carried, peer: Enrolled, hello: Buffer): void {
  const {socket, services, source, destination} = carried;
  const identity = services.identityOf(destination.ip);
  if (identity === null) {
    carried.refuse('the pod has no certificate (yet)');
    return;
  }
  carried.deadline(services.limits.handshakeTimeoutMs, () => carried.refuse('its handshake took too long'));
  // Read first by the TLS socket, before what still arrives.
  socket.unshift(hello);
  const tls = new TLSSocket(socket, {
    isServer: true,
    secureContext: contextOf(identity),
    requestCert: true,
    // Judged by verifyPeer(), which knows more than chains and dates; nothing is handed over before.
    rejectUnauthorized: false,
    ALPNProtocols: [MTLS_ALPN],
  });
  let why = 'it ended';
  const left = (): void => carried.refuse(`its handshake failed: ${why}`);
  tls.on('error', ignore);
  tls.on('_tlsError', (error: NodeJS.ErrnoException) => {
    why = error.code ?? error.message;
    left();
  });
  tls.once('close', left);
  tls.once('secure', () => {
    if (carried.over) return;
    const wrong = wrongPeer(tls, identity, peer.spiffeId);
    if (wrong !== null) {
      carried.refuse(`${wrong}`);
      return;
    }
    // As tls.Server does: an error of the record layer must end the socket from now on.
    (tls as {secureConnecting?: boolean}).secureConnecting = false;
    sealEnds(tls, 'server');
    tls.pause();
    carried.dial(source, destination, (program) => {
      tls.off('close', left);
      tls.removeAllListeners('_tlsError');
      tls.on('_tlsError', () => carried.destroy());
      const footing = {protectedBy: 'mtls', peerId: peer.spiffeId} as const;
      carried.join({stream: tls, raw: socket}, {stream: program, raw: program}, footing, null, 'mtls.in');
    });
  });
}
