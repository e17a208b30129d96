/** TLS contexts of identities, each made once. */
import {createSecureContext, type SecureContext} from 'node:tls';
import type {Identity} from '../identity/identity.ts';

/** What our handshakes ask for and answer with; no program that is carried speaks it (RFC 7301). */
export const MTLS_ALPN = 'sallyport-mtls/1';

const made = new WeakMap<Identity, SecureContext>();

/**
 * An identity is the same object as long as nothing changed, so a rotation makes a new context for new connections, and those
 * that live keep theirs. Throws what OpenSSL says of a key that does not fit.
 */
export function contextOf(identity: Identity): SecureContext {
  let context = made.get(identity);
  if (context === undefined) {
    context = createSecureContext({
      key: identity.keyPem,
      cert: identity.chainPem,
      // verifyPeer() alone judges, also where it says yes. With our roots here OpenSSL would verify each chain a second time, send the
      // root along, and Node translate the peer's certificate for a check of DNS names: a quarter of a connection's CPU.
      ca: [],
      minVersion: 'TLSv1.3',
      // AES first: both ends are servers with AES instructions.
      ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
    });
    made.set(identity, context);
  }
  return context;
}
