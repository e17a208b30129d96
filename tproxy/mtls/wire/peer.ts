/** Who is at the other end of a finished handshake. */
import type {X509Certificate} from 'node:crypto';
import type {TLSSocket} from 'node:tls';
import {MAX_CHAIN_CERTIFICATES, verifyPeer} from '../identity/verify-peer.ts';
import type {Identity} from '../identity/identity.ts';
import {MTLS_ALPN} from './contexts.ts';

/** Why the peer is not taken; null: it is who has the address. `expectedId`: of Enrolled. */
export function wrongPeer(tls: TLSSocket, own: Identity, expectedId: string): string | null {
  if (tls.alpnProtocol !== MTLS_ALPN) return `it does not speak ${MTLS_ALPN}`;
  const verdict = verifyPeer(chainOf(tls), own.rootsPem, expectedId, Date.now());
  return verdict.ok ? null : verdict.reason;
}

/** What it sent, its leaf first. */
function chainOf(tls: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let at: X509Certificate | undefined = tls.getPeerX509Certificate();
  // One more than may be there, for verifyPeer() to say so.
  while (at !== undefined && chain.length <= MAX_CHAIN_CERTIFICATES) {
    chain.push(at.raw);
    at = at.issuerCertificate;
  }
  return chain;
}
