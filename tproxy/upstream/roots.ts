/** Which certificate authorities upstream servers are verified by: the public roots and those configured. */
import {createHash, X509Certificate} from 'node:crypto';
import {createSecureContext, rootCertificates, type SecureContext} from 'node:tls';
import {LRUCache} from 'lru-cache';
import {CIPHERS} from '../../runtime/ciphers.ts';
import {SallyportError} from '../../runtime/errors.ts';
import {LIMITS} from './limits.ts';

/** A set of trusted roots, ready to be used; `id` is part of every pool and session key. */
export interface Roots {
  readonly id: string;
  readonly context: SecureContext;
}

const BEGIN = '-----BEGIN CERTIFICATE-----';
const END = '-----END CERTIFICATE-----';

/**
 * The certificates of a PEM text, each parsed once so that a broken one is found here and not ignored by OpenSSL.
 * Throws a SallyportError where there is none or one is broken. `what` names the source: a flag, a file, an UpstreamProxy.
 */
export function parseCertificates(pem: string, what: string): string[] {
  const found: string[] = [];
  for (let at = pem.indexOf(BEGIN); at >= 0; at = pem.indexOf(BEGIN, at + 1)) {
    const end = pem.indexOf(END, at);
    const block = end < 0 ? pem.slice(at) : pem.slice(at, end + END.length);
    try {
      new X509Certificate(block);
    } catch (cause) {
      const fix = 'Write whole PEM blocks, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----.';
      throw new SallyportError('BadCertificate', `${what}: certificate ${found.length + 1} cannot be read`, fix, {
        cause,
      });
    }
    found.push(block);
  }
  if (found.length === 0)
    throw new SallyportError(
      'BadCertificate',
      `${what}: no certificate in it`,
      'Write the PEM of at least one CA certificate.',
    );
  return found;
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
