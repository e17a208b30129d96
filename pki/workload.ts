/**
 * Certificates of workloads (X.509 SVIDs): what a workload asks with, and what it is given. The request repeats the name for
 * which its sender thinks that he asks; who signs takes the name from elsewhere, and the two must agree.
 */
import {sign, verify} from 'node:crypto';
import {certificatePem, distinguishedName, extensions, keyIdentifier, signCertificate} from './certificate.ts';
import type {SigningKey} from './certificate.ts';
import {TAG, bitString, contextConstructed, der, integer, oid, readDer, readDerChildren, sequence} from './der.ts';
import {publicKeyOf} from './issue.ts';
import type {Pair} from './issue.ts';
import {MAX_REQUEST_BYTES, readPublicKey} from './request.ts';

/** Certificates begin that much in the past: clocks of nodes differ by minutes, and a peer whose clock is behind would refuse it. */
export const WORKLOAD_BACKDATE_MS = 3_600_000;

/** PKCS#9 extensionRequest (RFC 2985 §5.4.2). */
const EXTENSION_REQUEST = oid('1.2.840.113549.1.9.14');

/** CertificationRequestInfo: no subject, one critical URI name, nothing else. One spelling for a key and a name. */
function requestInfo(publicKey: Buffer, uri: string): Buffer {
  const wanted = sequence(extensions.subjectAltName({uri}, true));
  return sequence(
    integer(0),
    distinguishedName({}),
    publicKey,
    contextConstructed(0, sequence(EXTENSION_REQUEST, der(TAG.set, wanted))),
  );
}

/** A request for a certificate of `uri`, signed by its key; PEM. */
export function workloadRequest(uri: string, key: SigningKey): string {
  const info = requestInfo(publicKeyOf(key.key), uri);
  const request = sequence(info, key.algorithm, bitString(sign(key.digest, info, key.key)));
  const base64 = request.toString('base64').replace(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN CERTIFICATE REQUEST-----\n${base64}\n-----END CERTIFICATE REQUEST-----\n`;
}

export type ReadWorkloadRequest =
  | {readonly kind: 'request'; readonly publicKey: Buffer}
  /** It is as workloadRequest writes them, and for another name, or for more than the one. */
  | {readonly kind: 'another'}
  | {readonly kind: 'bad'; readonly why: string};

/**
 * Reads a request that is to be for `uri`. Byte for byte as workloadRequest writes it for that name and the key that is in it:
 * what else could be asked for (further names, CA rights, purposes) has no place to stand, and none is trimmed.
 */
export function readWorkloadRequest(pem: string, uri: string): ReadWorkloadRequest {
  const bad = (why: string): ReadWorkloadRequest => ({kind: 'bad', why});
  if (pem.length > MAX_REQUEST_BYTES) return bad(`it is longer than ${MAX_REQUEST_BYTES} bytes`);
  const block = /^-----BEGIN CERTIFICATE REQUEST-----\n([A-Za-z0-9+/=\n]+)-----END CERTIFICATE REQUEST-----\s*$/.exec(
    pem.replaceAll('\r\n', '\n'),
  );
  if (block === null) return bad('it is not one PEM block of CERTIFICATE REQUEST');
  const bytes = Buffer.from(block[1]!, 'base64');
  const outer = readDer(bytes);
  const parts =
    outer && outer.tag === TAG.sequence && outer.end === bytes.length ? readDerChildren(outer.content) : null;
  const fields = parts?.length === 3 && parts[0]!.tag === TAG.sequence ? readDerChildren(parts[0]!.content) : null;
  if (!parts || fields?.length !== 4 || parts[2]!.tag !== TAG.bitString) return bad('it is no PKCS#10 structure');
  const [info, algorithm, signature] = [parts[0]!, parts[1]!, parts[2]!];
  const publicKey = fields[2]!.raw;
  const key = readPublicKey(publicKey);
  if (key === null) return bad('its key is not ECDSA of P-256 or P-384');
  if (!algorithm.raw.equals(key.algorithm) || signature.content[0] !== 0)
    return bad('it is not signed with the hash of its curve');
  if (!verify(key.digest, info.raw, key.key, signature.content.subarray(1)))
    return bad('it is not signed by the key that it names');
  return info.raw.equals(requestInfo(publicKey, uri)) ? {kind: 'request', publicKey} : {kind: 'another'};
}

export interface WorkloadCertificate {
  /** The leaf and what is between it and the root, PEM; the root left out. */
  readonly chainPem: string;
  /** Of the chain and its root, the earliest; Unix time in ms. */
  readonly notAfterMs: number;
}

/** A leaf of one URI, for both ends of a connection. It never outlives what is above it. */
export function makeWorkloadCertificate(
  issuer: Pair,
  {publicKey, uri, lifeMs}: {readonly publicKey: Buffer; readonly uri: string; readonly lifeMs: number},
  nowMs: number,
): WorkloadCertificate {
  const {chain, key} = issuer;
  const above = chain[0]!;
  const notAfterMs = Math.min(nowMs + lifeMs, ...chain.map((one) => one.notAfterMs));
  const certificate = signCertificate(
    {
      issuer: above.subject,
      subject: distinguishedName({}),
      notBeforeMs: Math.max(nowMs - WORKLOAD_BACKDATE_MS, ...chain.map((one) => one.notBeforeMs)),
      notAfterMs,
      publicKey,
      extensions: [
        extensions.notCa,
        extensions.signsHandshakes,
        extensions.serverAndClientAuth,
        // Critical, as the subject is empty (RFC 5280 §4.2.1.6).
        extensions.subjectAltName({uri}, true),
        extensions.subjectKeyIdentifier(keyIdentifier(publicKey)),
        extensions.authorityKeyIdentifier(above.keyIdentifier),
      ],
    },
    key,
  );
  const between = chain.slice(0, -1).map(({pem}) => pem);
  return {
    chainPem: [certificatePem(certificate), ...between].join(''),
    notAfterMs: Math.floor(notAfterMs / 1000) * 1000,
  };
}
