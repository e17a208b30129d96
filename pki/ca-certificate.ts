/** CA certificates that others may have made: what is read from them, and whether leaves may stand under them. */
import {X509Certificate, createHash, createPrivateKey} from 'node:crypto';
import type {KeyObject} from 'node:crypto';
import {SallyportError} from '../runtime/errors.ts';
import {MIN_RSA_BITS, signingKey} from './certificate.ts';
import type {SigningKey} from './certificate.ts';
import {TAG, readDer, readDerChildren} from './der.ts';
import type {DerElement} from './der.ts';

const OID_SUBJECT_KEY_IDENTIFIER = '551d0e';
const OID_KEY_USAGE = '551d0f';
const OID_BASIC_CONSTRAINTS = '551d13';

/** A certificate of a CA, with what a child's fields are made of. */
export interface CaCertificate {
  readonly x509: X509Certificate;
  readonly pem: string;
  /** The file it came from, for messages. */
  readonly from: string;
  /** The Name, as its children must repeat it. */
  readonly subject: Buffer;
  /** Its own identifier, or what clients compute where it has none (RFC 5280 §4.2.1.2, method 1). */
  readonly keyIdentifier: Buffer;
  readonly isCa: boolean;
  /** How many further CAs it allows beneath it. */
  readonly pathLength: number;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly selfSigned: boolean;
}

/** Every certificate of a PEM file, in order. Throws CaUnparsable where there is none, or one is malformed. */
export function parseCaCertificates(pem: string, from: string): CaCertificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0)
    throw new SallyportError(
      'CaUnparsable',
      `${from} holds no PEM certificate`,
      'Write it as -----BEGIN CERTIFICATE-----.',
    );
  return blocks.map((block) => parseCaCertificate(`${block}\n`, from));
}

function parseCaCertificate(pem: string, from: string): CaCertificate {
  try {
    const x509 = new X509Certificate(pem);
    const fields = readFields(x509.raw);
    if (!fields) throw new TypeError('not the structure of a certificate');
    return {
      x509,
      pem,
      from,
      ...fields,
      // node's `ca` looks at basicConstraints; without keyUsage every use is allowed (RFC 5280 §4.2.1.3).
      isCa: x509.ca && fields.signsCertificates,
      notBeforeMs: Date.parse(x509.validFrom),
      notAfterMs: Date.parse(x509.validTo),
      selfSigned: x509.checkIssued(x509) && x509.verify(x509.publicKey),
    };
  } catch (cause) {
    throw new SallyportError(
      'CaUnparsable',
      `${from} holds a certificate that cannot be read`,
      'Check it with: openssl x509 -noout -text.',
      {cause},
    );
  }
}

function readFields(
  raw: Buffer,
): {subject: Buffer; keyIdentifier: Buffer; pathLength: number; signsCertificates: boolean} | null {
  const certificate = readDer(raw);
  const tbs = certificate && readDerChildren(certificate.content)?.[0];
  // version [0], serial, signature, issuer, validity, subject, subjectPublicKeyInfo, ... extensions [3]; a v1 certificate
  // has neither [0] nor [3], and is no CA for us.
  const fields = tbs && readDerChildren(tbs.content);
  const subject = fields?.[5];
  const publicKey = fields?.[6] && readDerChildren(fields[6].content)?.[1];
  if (!fields || fields[0]?.tag !== 0xa0 || !subject || !publicKey) return null;

  let keyIdentifier: Buffer = createHash('sha1').update(publicKey.content.subarray(1)).digest();
  let pathLength = Infinity;
  let signsCertificates = true;
  const list = fields.find((field) => field.tag === 0xa3);
  const extensions = list ? readDer(list.content) : null;
  for (const entry of (extensions && readDerChildren(extensions.content)) ?? []) {
    const parts: DerElement[] | null = readDerChildren(entry.content);
    const value = parts?.at(-1) && readDer(parts.at(-1)!.content);
    if (!parts || !value) return null;
    switch (parts[0]!.content.toString('hex')) {
      case OID_SUBJECT_KEY_IDENTIFIER:
        keyIdentifier = value.content;
        break;
      case OID_KEY_USAGE:
        // keyCertSign is bit 5, counted from the left; the first byte says how many bits are unused.
        signsCertificates = ((value.content[1] ?? 0) & 0x04) !== 0;
        break;
      case OID_BASIC_CONSTRAINTS: {
        const length = readDerChildren(value.content)?.find((part) => part.tag === TAG.integer);
        if (length)
          pathLength = length.content.length > 4 ? Infinity : length.content.readUIntBE(0, length.content.length);
        break;
      }
      default:
    }
  }
  return {subject: subject.raw, keyIdentifier, pathLength, signsCertificates};
}

/**
 * Checks a chain, issuer first and root last, for signing leaves with `beneath` further CAs between the first and them.
 * Throws CaNotCa, CaExpired, CaNotYetValid, CaNotIssued, CaNotRoot or CaPathLength, each naming its file.
 */
export function checkCaChain(chain: readonly CaCertificate[], beneath: number, nowMs: number): void {
  chain.forEach((certificate, index) => {
    const {from} = certificate;
    const issuer = chain[index + 1];
    if (!certificate.isCa)
      throw new SallyportError(
        'CaNotCa',
        `${from} is no CA certificate: basicConstraints CA:TRUE and keyUsage keyCertSign are needed`,
        'Bring the certificate of a CA, not that of a server.',
      );
    const until = new Date(certificate.notAfterMs).toISOString();
    if (certificate.notAfterMs <= nowMs)
      throw new SallyportError(
        'CaExpired',
        `${from} expired at ${until}`,
        'Bring a new one, or move it away to have one made.',
      );
    if (certificate.notBeforeMs > nowMs)
      throw new SallyportError(
        'CaNotYetValid',
        `${from} is not valid before ${new Date(certificate.notBeforeMs).toISOString()}`,
        'Check the clock of this machine.',
      );
    if (certificate.pathLength < beneath + index)
      throw new SallyportError(
        'CaPathLength',
        `${from} allows ${certificate.pathLength} further CAs beneath it (pathlen), and ${beneath + index} are needed`,
        beneath > 0 && index === 0
          ? 'Name it intermediate.crt and intermediate.key, with its root in root.crt, and leaves are signed with it directly.'
          : 'Have the CA issued with a longer pathlen, or with none.',
      );
    if (issuer ? !issued(issuer, certificate) : !certificate.selfSigned)
      throw issuer
        ? new SallyportError(
            'CaNotIssued',
            `${from} was not issued by the certificate that follows it (${issuer.from}: ${oneLine(issuer.x509.subject)})`,
            'Put the chain in order, issuer after issued; or move intermediate.crt and intermediate.key away to have them made anew.',
          )
        : new SallyportError(
            'CaNotRoot',
            `${from} ends with a certificate that is not self-signed`,
            'Append the certificates of its issuers up to the root, for clients trust that one.',
          );
  });
}

function issued(issuer: CaCertificate, child: CaCertificate): boolean {
  return child.x509.checkIssued(issuer.x509) && child.x509.verify(issuer.x509.publicKey);
}

function oneLine(name: string): string {
  return name.replaceAll('\n', ', ');
}

/** Reads a private key file's text. Throws CaUnparsable or CaUnsupportedKey; never with any of the text. */
export function parseCaKey(pem: string, from: string): SigningKey {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw /ENCRYPTED/.test(pem)
      ? new SallyportError(
          'CaUnparsable',
          `${from} is encrypted`,
          'Write it without a passphrase (openssl pkey), mode 0600.',
        )
      : new SallyportError(
          'CaUnparsable',
          `${from} holds no private key that can be read`,
          'Write it as PEM, PKCS#8.',
          {
            cause,
          },
        );
  }
  const signing = signingKey(key);
  if (!signing)
    throw new SallyportError(
      'CaUnsupportedKey',
      `${from} holds a key of a kind that clients do not accept in a CA (${key.asymmetricKeyType ?? 'unknown'})`,
      `Use ECDSA (P-256, P-384, P-521) or RSA of ${MIN_RSA_BITS} bits and more.`,
    );
  return signing;
}

/** Throws CaKeyMismatch where `key` is not the certificate's. */
export function checkKeyFits(certificate: CaCertificate, key: SigningKey, keyFrom: string): void {
  if (!certificate.x509.checkPrivateKey(key.key))
    throw new SallyportError(
      'CaKeyMismatch',
      `${keyFrom} is not the key of the certificate in ${certificate.from}`,
      'Bring the pair that belongs together; the certificate of the key comes first in its file.',
    );
}
