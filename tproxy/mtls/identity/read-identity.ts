/** Key, chain and roots become an Identity, or are refused with the reason: what is shown to peers must be what they will take. Pure. */
import {createPrivateKey, X509Certificate, type KeyObject} from 'node:crypto';
import {SallyportError} from '../../../runtime/errors.ts';
import {validityOf} from '../../../runtime/certificate-times.ts';
import {parseCertificates} from '../../../runtime/pem.ts';
import {certificateFacts} from './certificate-facts.ts';
import type {Identity} from './identity.ts';
import {parseSpiffeId} from '../../../pki/spiffe.ts';
import {verifyPeer} from './verify-peer.ts';

export interface IdentityTexts {
  readonly keyPem: string;
  readonly chainPem: string;
  readonly rootsPem: string;
}

/**
 * Checks that they belong together and that a peer with these roots would take the certificate now. `from` names them in messages.
 * Throws SallyportError `IdentityUnusable` or `BadCertificate`, never with any of the key.
 */
export function readIdentity({keyPem, chainPem, rootsPem}: IdentityTexts, from: string, nowMs: number): Identity {
  const unusable = (why: string): SallyportError =>
    new SallyportError('IdentityUnusable', `${from}: ${why}`, 'Bring key, chain and roots that belong together.');
  const chain = parseCertificates(chainPem, from);
  parseCertificates(rootsPem, `${from}, its roots`);
  let key: KeyObject;
  try {
    key = createPrivateKey(keyPem);
  } catch {
    throw unusable('its key cannot be read');
  }
  const leaf = new X509Certificate(chain[0]!);
  if (!leaf.checkPrivateKey(key)) throw unusable("the key is not the certificate's");
  const spiffeId = certificateFacts(leaf.raw)?.names[0]?.text ?? '';
  if (parseSpiffeId(spiffeId) === null)
    throw unusable(
      'the certificate has no URI name of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/NAME before all others',
    );
  const verdict = verifyPeer(chainPem, rootsPem, spiffeId, nowMs);
  if (!verdict.ok) throw unusable(`peers would refuse it: ${verdict.reason}`);
  return {spiffeId, keyPem, chainPem, rootsPem, notAfterMs: validityOf(chainPem, from).notAfterMs};
}
