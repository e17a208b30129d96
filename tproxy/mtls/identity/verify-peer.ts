/**
 * Whether a peer is who the workload table says has its address: its certificate is an X.509 SVID (SPIFFE X509-SVID §4, §5) of
 * exactly that id, under one of our roots. Node's own check (`rejectUnauthorized`) knows chains and dates, and of names only DNS's.
 * Pure.
 */
import {X509Certificate} from 'node:crypto';
import {
  certificateFacts,
  DIRECTORY_NAME,
  EXT_KEY_USAGE,
  KEY_USAGE,
  URI_NAME,
  type CertificateFacts,
} from './certificate-facts.ts';
import {parseSpiffeId, type SpiffeId} from '../../../pki/spiffe.ts';

export type PeerVerdict = {readonly ok: true} | {readonly ok: false; readonly reason: string};

/** A leaf, two intermediates and a root that was sent along; who sends more wants us to verify signatures. */
export const MAX_CHAIN_CERTIFICATES = 4;

interface Certificate {
  readonly x509: X509Certificate;
  readonly facts: CertificateFacts;
}

/**
 * `chain`: what the peer sent, its leaf first, DER or one PEM text. `rootsPem`: Identity's. `expectedId`: Enrolled's; the empty one
 * is nobody's. `reason` is for the log: it names what the peer's certificate says only where that is a SPIFFE id.
 */
export function verifyPeer(
  chain: readonly Uint8Array[] | string,
  rootsPem: string,
  expectedId: string,
  nowMs: number,
): PeerVerdict {
  const no = (reason: string): PeerVerdict => ({ok: false, reason});
  const expected = parseSpiffeId(expectedId);
  if (expected === null) return no('nobody is known to have its address');
  const sent = typeof chain === 'string' ? pemBlocks(chain) : chain;
  if (sent.length === 0) return no('it showed no certificate');
  if (sent.length > MAX_CHAIN_CERTIFICATES) return no(`it showed more than ${MAX_CHAIN_CERTIFICATES} certificates`);
  const certificates: Certificate[] = [];
  for (const one of sent) {
    const read = readCertificate(one);
    if (read === null) return no('a certificate of it cannot be read, or says something critical that is not known');
    certificates.push(read);
  }
  const [leaf] = certificates as [Certificate];
  const wrong = wrongLeaf(leaf.facts, expectedId);
  return wrong === null ? verifyChain(certificates, rootsOf(rootsPem), expected, nowMs) : no(wrong);
}

/** What of a leaf is not as an SVID's must be; null: nothing. */
function wrongLeaf(facts: CertificateFacts, expectedId: string): string | null {
  const {names, isCa, keyUsage, extKeyUsage} = facts;
  // X509-SVID §2: exactly one URI. Others beside it (DNS names) would be a second identity for whoever looks at those.
  if (names.length !== 1 || names[0]!.kind !== URI_NAME) return 'its certificate has not one URI name alone';
  if (isCa) return "its certificate is a CA's";
  if (keyUsage === null || (keyUsage & KEY_USAGE.digitalSignature) === 0)
    return 'its certificate is not for signatures (keyUsage digitalSignature)';
  if ((keyUsage & (KEY_USAGE.keyCertSign | KEY_USAGE.crlSign)) !== 0)
    return 'its certificate is for signing certificates (keyUsage)';
  if (
    extKeyUsage === null ||
    !extKeyUsage.includes(EXT_KEY_USAGE.clientAuth) ||
    !extKeyUsage.includes(EXT_KEY_USAGE.serverAuth)
  )
    return 'its certificate is not for clients and servers (extKeyUsage)';
  const {text} = names[0]!;
  if (parseSpiffeId(text) === null) return 'its name is no SPIFFE id of a ServiceAccount';
  if (text !== expectedId) return `it is ${text}, and its address is of ${expectedId}`;
  return null;
}

/** From the leaf up to a root of ours; what was sent beyond that is not looked at. */
function verifyChain(
  certificates: readonly Certificate[],
  roots: readonly Certificate[],
  expected: SpiffeId,
  nowMs: number,
): PeerVerdict {
  const no = (reason: string): PeerVerdict => ({ok: false, reason});
  for (let at = 0; at < certificates.length; at++) {
    const child = certificates[at]!;
    const date = wrongDate(child, nowMs);
    if (date !== null) return no(`${at === 0 ? 'its certificate' : 'a CA above it'} ${date}`);
    const root = roots.find((one) => issued(one, child));
    const issuer = root ?? certificates[at + 1];
    if (issuer === undefined || (root === undefined && !issued(issuer, child)))
      return no('its certificate is not of a CA that we believe');
    const wrong = wrongIssuer(issuer.facts, at, expected, certificates[0]!.facts);
    if (wrong !== null) return no(wrong);
    if (root === undefined) continue;
    const rootDate = wrongDate(root, nowMs);
    return rootDate === null ? {ok: true} : no(`the root above it ${rootDate}`);
  }
  return no('its certificate is not of a CA that we believe');
}

/** `beneath`: how many CAs stand between it and the leaf. */
function wrongIssuer(facts: CertificateFacts, beneath: number, id: SpiffeId, leaf: CertificateFacts): string | null {
  const {isCa, keyUsage, pathLength, extKeyUsage, constraints} = facts;
  if (!isCa || (keyUsage !== null && (keyUsage & KEY_USAGE.keyCertSign) === 0)) return 'what issued it is no CA';
  if (pathLength < beneath) return 'a CA above it allows no such CA beneath it (pathlen)';
  // A CA whose purposes are said (as our sites' intermediates are: serverAuth) signs for no others.
  if (
    extKeyUsage !== null &&
    !(extKeyUsage.includes(EXT_KEY_USAGE.clientAuth) && extKeyUsage.includes(EXT_KEY_USAGE.serverAuth))
  )
    return 'a CA above it is not for clients and servers (extKeyUsage)';
  if (constraints === null) return null;
  const holds = (text: string): boolean =>
    text.startsWith('.') ? id.trustDomain.endsWith(text.toLowerCase()) : id.trustDomain === text.toLowerCase();
  const uris = constraints.permitted.filter(({kind}) => kind === URI_NAME);
  if (
    (uris.length > 0 && !uris.some(({text}) => holds(text))) ||
    constraints.excluded.some(({kind, text}) => kind === URI_NAME && (text === '' || holds(text)))
  )
    return 'a CA above it may not name its trust domain (nameConstraints)';
  // A subject is a name too, and directory names are not compared here.
  const directory = [...constraints.permitted, ...constraints.excluded].some(({kind}) => kind === DIRECTORY_NAME);
  return directory && !leaf.subjectIsEmpty ? 'a CA above it limits subjects, and it has one' : null;
}

function issued(issuer: Certificate, child: Certificate): boolean {
  try {
    return child.x509.checkIssued(issuer.x509) && child.x509.verify(issuer.x509.publicKey);
  } catch {
    return false;
  }
}

function wrongDate({x509}: Certificate, nowMs: number): string | null {
  // What OpenSSL cannot read as a time is no number here, and no comparison with it would refuse.
  if (Number.isNaN(Date.parse(x509.validFrom) + Date.parse(x509.validTo))) return 'has a date that is none';
  if (nowMs < Date.parse(x509.validFrom)) return `is not valid before ${new Date(x509.validFrom).toISOString()}`;
  if (nowMs >= Date.parse(x509.validTo)) return `ended at ${new Date(x509.validTo).toISOString()}`;
  return null;
}

function readCertificate(bytes: Uint8Array | string): Certificate | null {
  try {
    const x509 = new X509Certificate(bytes);
    const facts = certificateFacts(x509.raw);
    return facts === null ? null : {x509, facts};
  } catch {
    return null;
  }
}

const pemBlocks = (pem: string): string[] =>
  pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];

/** The roots last verified with, parsed: the same few for every connection. */
const parsedRoots = new Map<string, readonly Certificate[]>();
/** While they rotate, those before and those after; a node shows those of one trust domain alone. */
const MAX_PARSED_ROOTS = 4;

function rootsOf(pem: string): readonly Certificate[] {
  let roots = parsedRoots.get(pem);
  if (roots === undefined) {
    roots = pemBlocks(pem).flatMap((block) => readCertificate(block) ?? []);
    if (parsedRoots.size >= MAX_PARSED_ROOTS) parsedRoots.clear();
    parsedRoots.set(pem, roots);
  }
  return roots;
}
