/** Certificates in PEM, as operators give them. OpenSSL skips what it cannot read, and takes no certificates for the public ones. */
import {X509Certificate} from 'node:crypto';
import {SallyportError} from './errors.ts';

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
    throw new SallyportError('BadCertificate', `${what}: no certificate in it`, 'Write the PEM of at least one.');
  return found;
}
