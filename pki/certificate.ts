/** X.509 certificates (RFC 5280), written as DER and signed by node:crypto. */
import {createHash, randomBytes, sign} from 'node:crypto';
import type {KeyObject} from 'node:crypto';
import {
  TAG,
  bitString,
  contextConstructed,
  contextPrimitive,
  der,
  derNull,
  derTrue,
  integer,
  octetString,
  oid,
  readDerChildren,
  readDer,
  sequence,
  time,
  utf8String,
} from './der.ts';

const OID = {
  commonName: oid('2.5.4.3'),
  organization: oid('2.5.4.10'),
  subjectKeyIdentifier: oid('2.5.29.14'),
  keyUsage: oid('2.5.29.15'),
  subjectAltName: oid('2.5.29.17'),
  basicConstraints: oid('2.5.29.19'),
  authorityKeyIdentifier: oid('2.5.29.35'),
  extKeyUsage: oid('2.5.29.37'),
  nameConstraints: oid('2.5.29.30'),
  serverAuth: oid('1.3.6.1.5.5.7.3.1'),
  clientAuth: oid('1.3.6.1.5.5.7.3.2'),
} as const;

/** A private key that signs certificates, with what its algorithm is called in them. */
export interface SigningKey {
  readonly key: KeyObject;
  readonly digest: 'sha256' | 'sha384' | 'sha512';
  /** AlgorithmIdentifier. */
  readonly algorithm: Buffer;
}

/** RSA below 2048 bits is refused by today's clients (OpenSSL security level 2, Java, Go), so a leaf under it would be too. */
export const MIN_RSA_BITS = 2048;

/** How `key` signs certificates; null where clients would not take its signatures (DSA, Ed25519, short RSA, odd curves). */
export function signingKey(key: KeyObject): SigningKey | null {
  const {modulusLength = 0, namedCurve} = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'rsa' && modulusLength >= MIN_RSA_BITS)
    // RFC 4055 §5: parameters are NULL.
    return {key, digest: 'sha256', algorithm: sequence(oid('1.2.840.113549.1.1.11'), derNull)};
  if (key.asymmetricKeyType !== 'ec') return null;
  // RFC 5758 §3.2: the hash as strong as the curve, no parameters.
  if (namedCurve === 'prime256v1') return {key, digest: 'sha256', algorithm: sequence(oid('1.2.840.10045.4.3.2'))};
  if (namedCurve === 'secp384r1') return {key, digest: 'sha384', algorithm: sequence(oid('1.2.840.10045.4.3.3'))};
  if (namedCurve === 'secp521r1') return {key, digest: 'sha512', algorithm: sequence(oid('1.2.840.10045.4.3.4'))};
  return null;
}

/** What is signed. Names and key are DER, so that an issuer's name is repeated byte for byte. */
export interface CertificateFields {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  readonly extensions: readonly Buffer[];
}

const VERSION_3 = contextConstructed(0, integer(2));

/** Signs a certificate; DER. Its serial number is 127 random bits (RFC 5280 §4.1.2.2: positive, at most 20 octets). */
export function signCertificate(fields: CertificateFields, signer: SigningKey): Buffer {
  const serial = randomBytes(16);
  // The first bit clear keeps it positive, the second set keeps its length: no serial is ever short.
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const tbs = sequence(
    VERSION_3,
    integer(serial),
    signer.algorithm,
    fields.issuer,
    sequence(time(fields.notBeforeMs), time(fields.notAfterMs)),
    fields.subject,
    fields.publicKey,
    contextConstructed(3, sequence(...fields.extensions)),
  );
  return sequence(tbs, signer.algorithm, bitString(sign(signer.digest, tbs, signer.key)));
}

/** A Name of up to one organization and one common name; without either it is the empty one. */
export function distinguishedName(parts: {readonly organization?: string; readonly commonName?: string}): Buffer {
  const rdn = (type: Buffer, value: string) => der(TAG.set, sequence(type, utf8String(value)));
  return sequence(
    ...(parts.organization === undefined ? [] : [rdn(OID.organization, parts.organization)]),
    ...(parts.commonName === undefined ? [] : [rdn(OID.commonName, parts.commonName)]),
  );
}

/** Key identifier of a SubjectPublicKeyInfo: the first 160 bits of SHA-256 over the key's bits (RFC 7093 §2, method 1). */
export function keyIdentifier(publicKey: Buffer): Buffer {
  const info = readDer(publicKey);
  const bits = info && readDerChildren(info.content)?.[1];
  if (!bits) throw new TypeError('no SubjectPublicKeyInfo');
  return createHash('sha256').update(bits.content.subarray(1)).digest().subarray(0, 20);
}

function extension(type: Buffer, critical: boolean, value: Buffer): Buffer {
  return critical ? sequence(type, derTrue, octetString(value)) : sequence(type, octetString(value));
}

function generalName(name: {readonly dns: string} | {readonly ip: Buffer} | {readonly uri: string}): Buffer {
  if ('dns' in name) return contextPrimitive(2, Buffer.from(name.dns, 'latin1'));
  return 'ip' in name ? contextPrimitive(7, name.ip) : contextPrimitive(6, Buffer.from(name.uri, 'latin1'));
}

/** The extensions we write. None points anywhere: no AIA, CRL or OCSP address, for a client that followed one would leave the pod's policy. */
export const extensions = {
  subjectKeyIdentifier: (id: Buffer): Buffer => extension(OID.subjectKeyIdentifier, false, octetString(id)),
  authorityKeyIdentifier: (id: Buffer): Buffer =>
    extension(OID.authorityKeyIdentifier, false, sequence(contextPrimitive(0, id))),
  /** `pathLength`: how many further CAs may stand between this one and a leaf. */
  ca: (pathLength: number): Buffer => extension(OID.basicConstraints, true, sequence(derTrue, integer(pathLength))),
  notCa: extension(OID.basicConstraints, true, sequence()),
  /** keyCertSign alone; DER of a named bit list has no trailing zero bits (X.690 §11.2.2). */
  signsCertificates: extension(OID.keyUsage, true, bitString(Buffer.from([0x04]), 2)),
  /** digitalSignature alone: what ECDHE with ECDSA needs. */
  signsHandshakes: extension(OID.keyUsage, true, bitString(Buffer.from([0x80]), 7)),
  serverAuth: extension(OID.extKeyUsage, false, sequence(OID.serverAuth)),
  /** A workload is both: who dials is a client, who is dialled a server. */
  serverAndClientAuth: extension(OID.extKeyUsage, false, sequence(OID.serverAuth, OID.clientAuth)),
  /**
   * Of a CA whose leaves are named by URIs of one host, and by nothing that a browser or a program compares with the site it
   * wanted: no DNS name and no address (RFC 5280 §4.2.1.10; an empty DNS constraint is every name).
   */
  onlyUrisOf: (host: string): Buffer =>
    extension(
      OID.nameConstraints,
      true,
      sequence(
        contextConstructed(0, sequence(generalName({uri: host}))),
        contextConstructed(
          1,
          sequence(generalName({dns: ''})),
          sequence(generalName({ip: Buffer.alloc(8)})),
          sequence(generalName({ip: Buffer.alloc(32)})),
        ),
      ),
    ),
  /** One name. Critical where the subject is empty (RFC 5280 §4.2.1.6). `uri`: a workload's identity (SPIFFE). */
  subjectAltName: (
    name: {readonly dns: string} | {readonly ip: Buffer} | {readonly uri: string},
    critical: boolean,
  ): Buffer => extension(OID.subjectAltName, critical, sequence(generalName(name))),
  /** Several DNS names: a server that is reached by each of them. */
  subjectAltNames: (names: readonly string[]): Buffer =>
    extension(OID.subjectAltName, false, sequence(...names.map((dns) => generalName({dns})))),
} as const;

/** DER to PEM (RFC 7468). */
export function certificatePem(certificate: Buffer): string {
  const base64 = certificate.toString('base64');
  let pem = '-----BEGIN CERTIFICATE-----\n';
  for (let at = 0; at < base64.length; at += 64) pem += `${base64.slice(at, at + 64)}\n`;
  return `${pem}-----END CERTIFICATE-----\n`;
}
