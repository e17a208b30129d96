/** Certification requests (PKCS#10, RFC 2986): written by a node's agent, read by who signs. */
import {createPublicKey, sign, verify} from 'node:crypto';
import {distinguishedName, signingKey} from './certificate.ts';
import type {SigningKey} from './certificate.ts';
import {TAG, bitString, contextConstructed, integer, oid, readDer, readDerChildren, sequence} from './der.ts';
import type {DerElement} from './der.ts';
import {publicKeyOf} from './issue.ts';

const OID_COMMON_NAME = '550403';
/** A request of ours is under 400 bytes; one with a P-384 key and a long name is under 600. */
export const MAX_REQUEST_BYTES = 4_096;

/** SubjectPublicKeyInfo of P-256 and P-384: how it begins, up to the point's coordinates, and how long it is. */
const CURVES = [
  {curve: '1.2.840.10045.3.1.7', coordinateBytes: 32},
  {curve: '1.3.132.0.34', coordinateBytes: 48},
].map(({curve, coordinateBytes}) => {
  const point = bitString(Buffer.concat([Buffer.from([4]), Buffer.alloc(2 * coordinateBytes)]));
  const whole = sequence(sequence(oid('1.2.840.10045.2.1'), oid(curve)), point);
  return {prefix: whole.subarray(0, -2 * coordinateBytes), bytes: whole.length};
});

/** A request for a certificate of `commonName` and nothing else, signed by its key; PEM. */
export function certificateRequest(commonName: string, key: SigningKey): string {
  const info = sequence(
    integer(0),
    distinguishedName({commonName}),
    publicKeyOf(key.key),
    // attributes [0] IMPLICIT SET OF: there, and empty.
    contextConstructed(0),
  );
  const request = sequence(info, key.algorithm, bitString(sign(key.digest, info, key.key)));
  const base64 = request.toString('base64').replace(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN CERTIFICATE REQUEST-----\n${base64}\n-----END CERTIFICATE REQUEST-----\n`;
}

export type ReadRequest =
  | {readonly kind: 'request'; readonly commonName: string; readonly publicKey: Buffer}
  | {readonly kind: 'bad'; readonly why: string};

/**
 * Reads one. Only the form that certificateRequest writes is taken: what a request may ask for besides (names, CA rights,
 * purposes) is not its business, so one that asks is refused and not trimmed.
 */
export function readCertificateRequest(pem: string): ReadRequest {
  const bad = (why: string): ReadRequest => ({kind: 'bad', why});
  if (pem.length > MAX_REQUEST_BYTES) return bad(`it is longer than ${MAX_REQUEST_BYTES} bytes`);
  const block = /^-----BEGIN CERTIFICATE REQUEST-----\n([A-Za-z0-9+/=\n]+)-----END CERTIFICATE REQUEST-----\s*$/.exec(
    pem.replaceAll('\r\n', '\n'),
  );
  if (block === null) return bad('it is not one PEM block of CERTIFICATE REQUEST');
  const bytes = Buffer.from(block[1]!, 'base64');
  const outer = readDer(bytes);
  const parts =
    outer && outer.tag === TAG.sequence && outer.end === bytes.length ? readDerChildren(outer.content) : null;
  if (parts?.length !== 3) return bad('it is no PKCS#10 structure');
  const [info, algorithm, signature] = parts as [DerElement, DerElement, DerElement];
  const fields = readDerChildren(info.content);
  if (fields?.length !== 4 || info.tag !== TAG.sequence || signature.tag !== TAG.bitString)
    return bad('it is no PKCS#10 structure');
  const [version, subject, publicKey, attributes] = fields as [DerElement, DerElement, DerElement, DerElement];
  if (!version.raw.equals(integer(0))) return bad('its version is not 1');
  if (attributes.tag !== 0xa0 || attributes.content.length > 0) return bad('it asks for attributes or extensions');
  const commonName = onlyCommonName(subject);
  if (commonName === null) return bad('its subject is not one CN alone');
  const key = readPublicKey(publicKey.raw);
  if (key === null) return bad('its key is not ECDSA of P-256 or P-384');
  if (!algorithm.raw.equals(key.algorithm) || signature.content[0] !== 0)
    return bad('it is not signed with the hash of its curve');
  if (!verify(key.digest, info.raw, key.key, signature.content.subarray(1)))
    return bad('it is not signed by the key that it names');
  return {kind: 'request', commonName, publicKey: publicKey.raw};
}

/** Named by its curve, its point uncompressed: what else stands for the same key (explicit parameters, CVE-2020-0601) would be copied as it is. */
export function readPublicKey(spki: Buffer): SigningKey | null {
  const curve = CURVES.find(({prefix, bytes}) => spki.length === bytes && spki.indexOf(prefix) === 0);
  if (curve === undefined) return null;
  try {
    return signingKey(createPublicKey({key: spki, format: 'der', type: 'spki'}));
  } catch {
    return null;
  }
}

function onlyCommonName(subject: DerElement): string | null {
  if (subject.tag !== TAG.sequence) return null;
  const names = readDerChildren(subject.content);
  const parts = names?.length === 1 && names[0]!.tag === TAG.set ? readDerChildren(names[0]!.content) : null;
  const pair = parts?.length === 1 && parts[0]!.tag === TAG.sequence ? readDerChildren(parts[0]!.content) : null;
  if (pair?.length !== 2) return null;
  const [type, value] = pair as [DerElement, DerElement];
  if (type.tag !== TAG.oid || type.content.toString('hex') !== OID_COMMON_NAME || value.tag !== TAG.utf8String)
    return null;
  const text = value.content.toString('utf8');
  // A name that is no UTF-8 would not come back as it went.
  return Buffer.from(text, 'utf8').equals(value.content) ? text : null;
}
