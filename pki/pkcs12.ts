/**
 * A PKCS#12 trust store (RFC 7292) as Java reads it for -Djavax.net.ssl.trustStore: certificates only, in the clear, for they
 * are public: so it opens with the password, and without one (Java then skips the MAC, and could not decrypt).
 */
import {createHash, createHmac} from 'node:crypto';
import {TAG, contextConstructed, der, derNull, integer, octetString, oid, sequence} from './der.ts';

const OID = {
  data: oid('1.2.840.113549.1.7.1'),
  certBag: oid('1.2.840.113549.1.12.10.1.3'),
  x509Certificate: oid('1.2.840.113549.1.9.22.1'),
  friendlyName: oid('1.2.840.113549.1.9.20'),
  /** Oracle's trusted key usage: without it Java takes a bag for no trusted certificate and the store looks empty. */
  trustedKeyUsage: oid('2.16.840.1.113894.746875.1.1'),
  anyExtendedKeyUsage: oid('2.5.29.37.0'),
  sha256: oid('2.16.840.1.101.3.4.2.1'),
} as const;

/** As Java 17 writes; Java 8u301 and later read HmacPBESHA256, and the old SHA-1 form is on its way out. */
const MAC_ITERATIONS = 10_000;
const SALT_BYTES = 20;

export interface TrustedCertificate {
  readonly der: Buffer;
  /** Java's alias; must be unique without letter case. */
  readonly alias: string;
}

/** Trusted certificates as a PKCS#12 file. */
export function trustStore(certificates: readonly TrustedCertificate[], password: string): Buffer {
  const safe = sequence(...certificates.map(certificateBag));
  const authenticated = sequence(sequence(OID.data, contextConstructed(0, octetString(safe))));
  // Of the content, not of chance: the password is public, and the same certificates must come to the same file, so that
  // nobody rewrites what has not changed.
  const salt = createHash('sha256').update(authenticated).digest().subarray(0, SALT_BYTES);
  const mac = createHmac('sha256', macKey(password, salt)).update(authenticated).digest();
  return sequence(
    integer(3),
    sequence(OID.data, contextConstructed(0, octetString(authenticated))),
    sequence(sequence(sequence(OID.sha256, derNull), octetString(mac)), octetString(salt), integer(MAC_ITERATIONS)),
  );
}

function certificateBag({der: certificate, alias}: TrustedCertificate): Buffer {
  const attribute = (type: Buffer, value: Buffer) => sequence(type, der(TAG.set, value));
  const attributes = [
    attribute(OID.friendlyName, der(TAG.bmpString, bmp(alias))),
    attribute(OID.trustedKeyUsage, OID.anyExtendedKeyUsage),
  ];
  return sequence(
    OID.certBag,
    contextConstructed(0, sequence(OID.x509Certificate, contextConstructed(0, octetString(certificate)))),
    // X.690 §11.6: a SET OF stands in the order of its encodings.
    der(TAG.set, ...attributes.sort((a, b) => a.compare(b))),
  );
}

function bmp(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16();
}

/**
 * RFC 7292 appendix B with ID 3 (integrity) and SHA-256. The key is as long as one digest, so the first block is the key
 * and the appendix's mixing of further blocks never happens.
 */
function macKey(password: string, salt: Buffer): Buffer {
  const block = 64;
  const repeat = (bytes: Buffer) =>
    bytes.length === 0 ? bytes : Buffer.alloc(Math.ceil(bytes.length / block) * block, bytes);
  // Appendix B.1: a BMPString with its terminating zero.
  const secret = Buffer.concat([bmp(password), Buffer.alloc(2)]);
  let digest: Buffer = Buffer.concat([Buffer.alloc(block, 3), repeat(salt), repeat(secret)]);
  for (let i = 0; i < MAC_ITERATIONS; i++) digest = createHash('sha256').update(digest).digest();
  return digest;
}
