/** Certificates for tests: a CA of the moment, and servers it vouches for, rightly or not. */
import {createPublicKey, generateKeyPairSync, type KeyObject} from 'node:crypto';
import {isIP} from 'node:net';
import {
  certificatePem,
  distinguishedName,
  extensions,
  signCertificate,
  signingKey,
  type SigningKey,
} from '../../../pki/certificate.ts';

export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface TestCa {
  readonly pem: string;
  /** A server certificate for one name or IPv4 address; `san: false`: the name is only in the subject's CN. */
  issue(name: string, options?: {notBeforeMs?: number; notAfterMs?: number; san?: boolean}): ServerCertificate;
}

const DAY_MS = 24 * 3600 * 1000;

function newKey(): {key: KeyObject; signer: SigningKey; spki: Buffer; pem: string} {
  const {privateKey} = generateKeyPairSync('ec', {namedCurve: 'prime256v1'});
  return {
    key: privateKey,
    signer: signingKey(privateKey)!,
    spki: createPublicKey(privateKey).export({type: 'spki', format: 'der'}),
    pem: privateKey.export({type: 'pkcs8', format: 'pem'}).toString(),
  };
}

const sanOf = (name: string): Buffer =>
  extensions.subjectAltName(isIP(name) === 4 ? {ip: Buffer.from(name.split('.').map(Number))} : {dns: name}, false);

export function testCa(commonName: string): TestCa {
  const ca = newKey();
  const issuer = distinguishedName({commonName});
  const now = Date.now();
  const pem = certificatePem(
    signCertificate(
      {
        issuer,
        subject: issuer,
        notBeforeMs: now - 100 * DAY_MS,
        notAfterMs: now + 100 * DAY_MS,
        publicKey: ca.spki,
        extensions: [extensions.ca(0), extensions.signsCertificates],
      },
      ca.signer,
    ),
  );
  return {
    pem,
    issue(name, {notBeforeMs = now - DAY_MS, notAfterMs = now + DAY_MS, san = true} = {}) {
      const own = newKey();
      const fields = {
        issuer,
        subject: distinguishedName({commonName: name}),
        notBeforeMs,
        notAfterMs,
        publicKey: own.spki,
        extensions: [extensions.notCa, extensions.serverAuth, ...(san ? [sanOf(name)] : [])],
      };
      return {cert: certificatePem(signCertificate(fields, ca.signer)), key: own.pem};
    },
  };
}

/** A server certificate that nobody but itself vouches for. */
export function selfSigned(name: string): ServerCertificate {
  const own = newKey();
  const subject = distinguishedName({commonName: name});
  const now = Date.now();
  const fields = {
    issuer: subject,
    subject,
    notBeforeMs: now - DAY_MS,
    notAfterMs: now + DAY_MS,
    publicKey: own.spki,
    extensions: [extensions.notCa, extensions.serverAuth, sanOf(name)],
  };
  return {cert: certificatePem(signCertificate(fields, own.signer)), key: own.pem};
}
