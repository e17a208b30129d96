/** Certificates that a role serves with: named by flags, read and tried before they are used. */
import {createPrivateKey} from 'node:crypto';
import {createSecureContext} from 'node:tls';
import {SallyportError} from './errors.ts';
import {readFlagFile} from './flag-file.ts';
import {parseCertificates} from './pem.ts';

export interface TlsPaths {
  readonly cert: string;
  readonly key: string;
  /** `--client-ca`; null: clients show no certificate. */
  readonly clientCa: string | null;
}

/** PEM. */
export interface TlsFiles {
  readonly key: string;
  readonly cert: string;
  readonly clientCa: string | null;
}

/** Of `--tls-cert`, `--tls-key` and `--client-ca`; null: no TLS. Throws SallyportError `Usage` for one without the other. */
export function tlsPaths(cert: string | null, key: string | null, clientCa: string | null): TlsPaths | null {
  if (cert === null && key === null && clientCa === null) return null;
  if (cert === null || key === null)
    throw new SallyportError(
      'Usage',
      `${cert === null ? '--tls-cert' : '--tls-key'} is missing`,
      'TLS takes --tls-cert and --tls-key together; --client-ca is beside them.',
    );
  return {cert, key, clientCa};
}

/**
 * Reads and tries the files: a key that does not fit its certificate is refused here, not at the first handshake, and so is
 * a file without certificates (one that is just being written is empty): an empty client CA would let in whoever has a
 * certificate of a public one. Throws SallyportError `FileUnreadable`, `BadCertificate`, `CertificatesUnusable`.
 */
export function readTlsFiles({cert, key, clientCa}: TlsPaths): TlsFiles {
  const read = (flag: string, file: string): string =>
    readFlagFile(flag, file, `Give ${flag} a PEM file that can be read.`);
  const files = {
    cert: read('--tls-cert', cert),
    key: read('--tls-key', key),
    clientCa: clientCa === null ? null : read('--client-ca', clientCa),
  };
  parseCertificates(files.cert, `--tls-cert ${cert}`);
  if (files.clientCa !== null) parseCertificates(files.clientCa, `--client-ca ${clientCa}`);
  try {
    createPrivateKey(files.key);
    createSecureContext({cert: files.cert, key: files.key, ...(files.clientCa === null ? {} : {ca: files.clientCa})});
  } catch (cause) {
    throw new SallyportError(
      'CertificatesUnusable',
      `--tls-cert ${cert}, --tls-key ${key}: ${(cause as Error).message}`,
      'Give a PEM certificate chain and the key that belongs to it.',
      {cause},
    );
  }
  return files;
}
