/** For tests: a CA whose certificates are good for both ends of a connection. Ours issues for servers alone. */
import {generateKeyPairSync} from 'node:crypto';
import {certificatePem, distinguishedName, extensions, signCertificate, signingKey} from '../../../pki/certificate.ts';

export interface MeshCa {
  readonly root: Buffer;
  /** A certificate for a DNS name or a SPIFFE ID with its key, as grpc-js takes them. */
  pair(name: string): {readonly cert_chain: Buffer; readonly private_key: Buffer};
}

const HOUR_MS = 3_600_000;

export function meshCa(): MeshCa {
  const {publicKey, privateKey} = generateKeyPairSync('ec', {namedCurve: 'P-256'});
  const key = signingKey(privateKey)!;
  const name = distinguishedName({commonName: 'mesh CA'});
  const validity = {notBeforeMs: Date.now() - HOUR_MS, notAfterMs: Date.now() + HOUR_MS};
  const root = signCertificate(
    {
      ...validity,
      issuer: name,
      subject: name,
      publicKey: publicKey.export({type: 'spki', format: 'der'}),
      extensions: [extensions.ca(0), extensions.signsCertificates],
    },
    key,
  );
  return {
    root: Buffer.from(certificatePem(root)),
    pair(subject) {
      const own = generateKeyPairSync('ec', {namedCurve: 'P-256'});
      const certificate = signCertificate(
        {
          ...validity,
          issuer: name,
          subject: distinguishedName({}),
          publicKey: own.publicKey.export({type: 'spki', format: 'der'}),
          extensions: [
            extensions.notCa,
            extensions.signsHandshakes,
            extensions.subjectAltName(subject.includes('://') ? {uri: subject} : {dns: subject}, true),
          ],
        },
        key,
      );
      return {
        cert_chain: Buffer.from(certificatePem(certificate)),
        private_key: Buffer.from(own.privateKey.export({type: 'pkcs8', format: 'pem'})),
      };
    },
  };
}
