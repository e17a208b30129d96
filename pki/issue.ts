/** Certificates of CAs and of servers, made and signed in memory: pure but for randomness. */
import {createPublicKey, generateKeyPairSync, randomBytes} from 'node:crypto';
import type {KeyObject} from 'node:crypto';
import {parseCaCertificates} from './ca-certificate.ts';
import type {CaCertificate} from './ca-certificate.ts';
import {
  certificatePem,
  distinguishedName,
  extensions,
  keyIdentifier,
  signCertificate,
  signingKey,
} from './certificate.ts';
import type {SigningKey} from './certificate.ts';

const DAY_MS = 86_400_000;
/**
 * Certificates begin two days in the past: clocks of nodes, of VM-isolated pods and of resumed laptops differ by minutes to
 * a day (a time zone taken for UTC), and a client whose clock is behind refuses what is "not yet valid".
 */
export const BACKDATE_MS = 2 * DAY_MS;

const ORGANIZATION = 'Sallyport';
/** RFC 5280 appendix A: ub-common-name. */
const MAX_COMMON_NAME = 64;

/** A CA that signs: its certificate first, then those above it up to the root. */
export interface Pair {
  readonly chain: readonly CaCertificate[];
  readonly key: SigningKey;
}

export function newKey(): SigningKey {
  return signingKey(generateKeyPairSync('ec', {namedCurve: 'P-256'}).privateKey)!;
}

/** SubjectPublicKeyInfo. */
export function publicKeyOf(key: KeyObject): Buffer {
  return createPublicKey(key).export({type: 'spki', format: 'der'});
}

/**
 * A self-signed root that allows one CA beneath it; DER. `purpose` is part of its name. `urisOf`: it names URIs of this host and
 * nothing else; null: whatever it likes.
 */
export function makeRoot(
  key: SigningKey,
  nowMs: number,
  lifeMs: number,
  purpose = 'root',
  urisOf: string | null = null,
): Buffer {
  const name = caName(purpose);
  const publicKey = publicKeyOf(key.key);
  return signCertificate(
    {
      issuer: name,
      subject: name,
      notBeforeMs: nowMs - BACKDATE_MS,
      notAfterMs: nowMs + lifeMs,
      publicKey,
      extensions: [
        extensions.ca(1),
        extensions.signsCertificates,
        ...(urisOf === null ? [] : [extensions.onlyUrisOf(urisOf)]),
        extensions.subjectKeyIdentifier(keyIdentifier(publicKey)),
      ],
    },
    key,
  );
}

export interface IntermediateFields {
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  /** Part of its name: `intermediate`, a node's name. */
  readonly purpose: string;
  readonly lifeMs: number;
}

/**
 * An intermediate under `root` that signs leaves and no further CA, for servers alone; answers the whole chain. It never
 * outlives its issuer. `from` names it in messages.
 */
export function makeIntermediate(
  root: Pair,
  {publicKey, purpose, lifeMs}: IntermediateFields,
  nowMs: number,
  from: string,
): readonly CaCertificate[] {
  const issuer = root.chain[0]!;
  const certificate = signCertificate(
    {
      issuer: issuer.subject,
      subject: caName(purpose),
      notBeforeMs: Math.max(nowMs - BACKDATE_MS, issuer.notBeforeMs),
      notAfterMs: Math.min(nowMs + lifeMs, issuer.notAfterMs),
      publicKey,
      extensions: [
        extensions.ca(0),
        extensions.signsCertificates,
        extensions.serverAuth,
        extensions.subjectKeyIdentifier(keyIdentifier(publicKey)),
        extensions.authorityKeyIdentifier(issuer.keyIdentifier),
      ],
    },
    root.key,
  );
  return [...parseCaCertificates(certificatePem(certificate), from), ...root.chain];
}

/** A server's certificate for several names, directly under `root`, with a key of its own; PEM, the root left out. */
export function makeServerCertificate(
  root: Pair,
  names: readonly string[],
  nowMs: number,
  lifeMs: number,
): {readonly chainPem: string; readonly keyPem: string} {
  const issuer = root.chain[0]!;
  const key = newKey();
  const publicKey = publicKeyOf(key.key);
  const certificate = signCertificate(
    {
      issuer: issuer.subject,
      subject: distinguishedName({organization: ORGANIZATION}),
      notBeforeMs: Math.max(nowMs - BACKDATE_MS, issuer.notBeforeMs),
      notAfterMs: Math.min(nowMs + lifeMs, issuer.notAfterMs),
      publicKey,
      extensions: [
        extensions.notCa,
        extensions.signsHandshakes,
        extensions.serverAuth,
        extensions.subjectAltNames(names),
        extensions.subjectKeyIdentifier(keyIdentifier(publicKey)),
        extensions.authorityKeyIdentifier(issuer.keyIdentifier),
      ],
    },
    root.key,
  );
  const between = root.chain.slice(0, -1).map(({pem}) => pem);
  return {
    chainPem: [certificatePem(certificate), ...between].join(''),
    keyPem: key.key.export({type: 'pkcs8', format: 'pem'}) as string,
  };
}

/** A name of its own for each CA: two roots of one name and different keys send verifiers down the wrong path. */
function caName(purpose: string): Buffer {
  const tail = ` CA ${randomBytes(4).toString('hex')}`;
  const head = `Sallyport ${purpose}`.slice(0, MAX_COMMON_NAME - tail.length);
  return distinguishedName({organization: ORGANIZATION, commonName: head + tail});
}
