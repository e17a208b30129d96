/** The world's certification authorities and its servers' certificates, good and bad. */
import {generateKeyPairSync, randomBytes, sign} from 'node:crypto';
import {isIP} from 'node:net';
import forge from 'node-forge';
import type {CertificateKind, ServerSpec} from '../format/case.ts';

interface Authority {
  readonly certificate: forge.pki.Certificate;
  /** PEM. */
  readonly key: string;
}

export interface Authorities {
  /** What clients and proxies of the world trust, PEM. */
  readonly trusted: string;
  /** The certificate of a server and its key, PEM. */
  certificate(server: ServerSpec, addresses: readonly string[]): {readonly cert: string; readonly key: string};
}

const DAY_MS = 86_400_000;

function keyPair(): {readonly publicKey: forge.pki.PublicKey; readonly key: string} {
  const pair = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: {type: 'spki', format: 'pem'},
    privateKeyEncoding: {type: 'pkcs8', format: 'pem'},
  });
  return {publicKey: forge.pki.publicKeyFromPem(pair.publicKey), key: pair.privateKey};
}

interface Contents {
  readonly subject: string;
  readonly publicKey: forge.pki.PublicKey;
  readonly issuer: Authority | null;
  /** The key that signs: the issuer's, or one's own. */
  readonly signingKey: string;
  readonly days: readonly [number, number];
  readonly extensions: readonly object[];
}

function make(contents: Contents): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  // Positive and never the same twice: some clients refuse one issuer's serial number seen again.
  certificate.serialNumber = `01${randomBytes(15).toString('hex')}`;
  certificate.publicKey = contents.publicKey;
  certificate.validity.notBefore = new Date(Date.now() + contents.days[0] * DAY_MS);
  certificate.validity.notAfter = new Date(Date.now() + contents.days[1] * DAY_MS);
  const subject = [{name: 'commonName', value: contents.subject.slice(0, 64)}];
  certificate.setSubject(subject);
  certificate.setIssuer(contents.issuer === null ? subject : contents.issuer.certificate.subject.attributes);
  certificate.setExtensions([...contents.extensions]);
  return signed(certificate, contents.signingKey);
}

/** Signed by node:crypto: forge's own RSA takes a hundred times as long. */
function signed(certificate: forge.pki.Certificate, key: string): forge.pki.Certificate {
  const open = certificate as unknown as {
    md: unknown;
    signatureOid: string;
    siginfo: {algorithmOid: string};
    tbsCertificate: unknown;
    signature: string;
  };
  open.md = forge.md.sha256.create();
  open.signatureOid = forge.pki.oids['sha256WithRSAEncryption']!;
  open.siginfo.algorithmOid = open.signatureOid;
  const tbs = (
    forge.pki as unknown as {getTBSCertificate(of: forge.pki.Certificate): forge.asn1.Asn1}
  ).getTBSCertificate(certificate);
  open.tbsCertificate = tbs;
  open.signature = sign('sha256', Buffer.from(forge.asn1.toDer(tbs).getBytes(), 'binary'), key).toString('binary');
  return certificate;
}

function authority(subject: string): Authority {
  const {publicKey, key} = keyPair();
  const extensions = [
    {name: 'basicConstraints', cA: true, critical: true},
    {name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true},
    {name: 'subjectKeyIdentifier'},
  ];
  return {certificate: make({subject, publicKey, issuer: null, signingKey: key, days: [-1, 30], extensions}), key};
}

/** Makes the authorities of a world; takes a moment, so one set serves all worlds of a run. */
export function createAuthorities(): Authorities {
  const good = authority('Conformance world CA');
  const rogue = authority('A CA that nobody trusts');
  const leaf = keyPair();

  const issue = (kind: CertificateKind, name: string, addresses: readonly string[]): forge.pki.Certificate => {
    const names = kind === 'wrong-name' ? ['another-name.invalid'] : [name];
    const literals = kind === 'wrong-name' ? [] : addresses.filter((ip) => isIP(ip) !== 0);
    const issuer = kind === 'self-signed' ? null : kind === 'untrusted' ? rogue : good;
    return make({
      subject: names[0]!,
      publicKey: leaf.publicKey,
      issuer,
      signingKey: issuer?.key ?? leaf.key,
      days: kind === 'expired' ? [-20, -10] : [-1, 20],
      extensions: [
        {name: 'basicConstraints', cA: false, critical: true},
        {name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true},
        {name: 'extKeyUsage', serverAuth: true},
        {
          name: 'subjectAltName',
          altNames: [...names.map((value) => ({type: 2, value})), ...literals.map((ip) => ({type: 7, ip}))],
        },
        {name: 'subjectKeyIdentifier'},
      ],
    });
  };
  const pem = (certificate: forge.pki.Certificate): string =>
    forge.pki.certificateToPem(certificate).replaceAll('\r', '');
  return {
    trusted: pem(good.certificate),
    certificate: (server, addresses) => ({cert: pem(issue(server.certificate, server.name, addresses)), key: leaf.key}),
  };
}
