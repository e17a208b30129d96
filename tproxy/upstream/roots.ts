/** Which certificate authorities upstream servers are verified by: the public roots and those configured. */
import {createHash} from 'node:crypto';
import {createSecureContext, rootCertificates, type SecureContext} from 'node:tls';
import {LRUCache} from 'lru-cache';
import {CIPHERS} from '../../runtime/ciphers.ts';
import {parseCertificates} from '../../runtime/pem.ts';
import {LIMITS} from './limits.ts';

/** A set of trusted roots, ready to be used; `id` is part of every pool and session key. */
export interface Roots {
  readonly id: string;
  readonly context: SecureContext;
}

export interface RootStore {
  /** The public roots and --upstream-ca. */
  readonly standard: Roots;
  /** The roots of a caBundle, alone: a bundle narrows the trust to what it holds. Throws SallyportError. */
  bundle(pem: string, what: string): Roots;
}

/**
 * Secure contexts by roots, built once each: parsing the public roots takes milliseconds.
 * `upstreamCa` is the content of --upstream-ca or null. Throws SallyportError where it holds no certificate.
 */
export function createRootStore(
  upstreamCa: string | null,
  publicRoots: readonly string[] = rootCertificates,
): RootStore {
  const extra = upstreamCa === null ? [] : parseCertificates(upstreamCa, '--upstream-ca');
  // TLS 1.0 and 1.1 are gone (RFC 8996); no renegotiation is initiated or accepted by OpenSSL clients in 1.3.
  const build = (ca: string[]): SecureContext => createSecureContext({ca, minVersion: 'TLSv1.2', ciphers: CIPHERS});
  const bundles = new LRUCache<string, Roots>({max: LIMITS.maxSecureContexts});
  return {
    standard: {id: 'standard', context: build([...publicRoots, ...extra])},
    bundle(pem, what) {
      let roots = bundles.get(pem);
      if (roots === undefined) {
        const id = createHash('sha256').update(pem).digest('base64url');
        roots = {id, context: build(parseCertificates(pem, what))};
        bundles.set(pem, roots);
      }
      return roots;
    },
  };
}
