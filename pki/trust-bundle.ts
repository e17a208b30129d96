/**
 * What a program must trust to be inspected and still reach the rest: the public roots (for `tls` rules, whose servers show
 * their own certificates) and ours. CA variables such as SSL_CERT_FILE replace a program's list, so ours alone is not enough.
 */
import {X509Certificate} from 'node:crypto';
import {getCACertificates} from 'node:tls';
import {SallyportError} from '../runtime/errors.ts';
import type {Ca} from './ca.ts';
import {CERTIFICATE_MODE, caFileExists, prepareCaDir, readCaFile, writeCaFile} from './ca-files.ts';
import {certificatePem} from './certificate.ts';
import {trustStore} from './pkcs12.ts';

/** Java's customary password; the file holds nothing secret, and what opens it is told to every pod. */
export const TRUST_STORE_PASSWORD = 'changeit';

export interface TrustBundleOptions {
  /** Our root (while rotating: old and new), PEM. They come first. */
  readonly roots: readonly string[];
  /** Further roots that pods need (a company's own), PEM. */
  readonly extra?: readonly string[];
  /** 'bundled': Mozilla's list as Node carries it (default); 'system': the machine's; 'none': ours alone. */
  readonly publicRoots?: 'bundled' | 'system' | 'none';
}

/** Every certificate once, ours first, each under a line that names it. Throws BundleUnparsable for what is no PEM certificate. */
export function trustBundlePem(options: TrustBundleOptions): string {
  return collect(options)
    .map((certificate) => `# ${label(certificate)}\n${certificatePem(certificate.raw)}`)
    .join('\n');
}

/** The same as PKCS#12, for Java. */
export function trustBundlePkcs12(options: TrustBundleOptions, password: string = TRUST_STORE_PASSWORD): Buffer {
  const certificates = collect(options);
  return trustStore(
    certificates.map((certificate, index) => ({der: certificate.raw, alias: `${index + 1} ${label(certificate)}`})),
    password,
  );
}

/**
 * Writes `ca.crt` (our root alone), `bundle.pem` and `bundle.p12` into the CA's directory, where they differ from what is
 * there; a `ca.crt` that the operator brought with its key stays as it is. Throws CaUnwritable.
 */
export function publishTrust({
  dir,
  ca,
  ...rest
}: {readonly dir: string; readonly ca: Ca} & Omit<TrustBundleOptions, 'roots'>): void {
  prepareCaDir(dir);
  const options: TrustBundleOptions = {...rest, roots: [ca.rootPem]};
  const write = (name: string, content: string | Buffer) =>
    writeCaFile(dir, name, content, CERTIFICATE_MODE, 'replace');
  const holds = (name: string, content: string) => caFileExists(dir, name) && readCaFile(dir, name) === content;
  if (!caFileExists(dir, 'ca.key') && !holds('ca.crt', ca.rootPem)) write('ca.crt', ca.rootPem);
  const pem = trustBundlePem(options);
  if (holds('bundle.pem', pem) && caFileExists(dir, 'bundle.p12')) return;
  // The PEM last: it is what says that both are of today.
  write('bundle.p12', trustBundlePkcs12(options));
  write('bundle.pem', pem);
}

function collect({roots, extra = [], publicRoots = 'bundled'}: TrustBundleOptions): X509Certificate[] {
  const seen = new Map<string, X509Certificate>();
  const add = (pem: string) => {
    for (const certificate of parse(pem))
      if (!seen.has(certificate.fingerprint256)) seen.set(certificate.fingerprint256, certificate);
  };
  for (const pem of [...roots, ...extra]) add(pem);
  if (publicRoots !== 'none') for (const pem of getCACertificates(publicRoots)) add(pem);
  return [...seen.values()];
}

function parse(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  try {
    if (blocks.length === 0) throw new TypeError('no certificate');
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw new SallyportError(
      'BundleUnparsable',
      'a root for the trust bundle holds no certificate that can be read',
      'Give PEM, -----BEGIN CERTIFICATE-----.',
      {cause},
    );
  }
}

/** The common name or the last part of the subject, printable ASCII only. */
function label({subject}: X509Certificate): string {
  const parts = (subject ?? '').split('\n');
  const name = parts.find((part) => part.startsWith('CN=')) ?? parts.at(-1) ?? '';
  return name.slice(name.indexOf('=') + 1).replace(/[^ -~]/g, '?');
}
