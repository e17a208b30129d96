/** Certificates that a role serves with: named by flags, read and tried before they are used. */
import {createPrivateKey} from 'node:crypto';
import {createSecureContext} from 'node:tls';
import {isDeepStrictEqual} from 'node:util';
import {SallyportError} from './errors.ts';
import {readFlagFile} from './flag-file.ts';
import {parseCertificates} from './pem.ts';
import {watchPaths} from './watch.ts';

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

export interface TlsWatchOptions {
  /** They are not there yet: the Secret that is mounted comes from somebody who starts beside us. Told when it is another reason too. */
  readonly onWaiting: (message: string) => void;
  /** Other good ones are there. Not told of the first. */
  readonly onLoaded: (files: TlsFiles) => void;
  /** What is there now cannot be used; the last good ones stay in use. */
  readonly onFailed: (message: string) => void;
}

/**
 * The files as they are first there, and from then on every change of them. Waits as long as one is missing; rejects, as
 * readTlsFiles does, for what is there and bad.
 */
export async function watchTlsFiles(
  paths: TlsPaths,
  {onWaiting, onLoaded, onFailed}: TlsWatchOptions,
): Promise<{readonly files: TlsFiles; close(): void}> {
  let current: TlsFiles | null = null;
  let first: (() => void) | null = null;
  const look = (): void => {
    if (current === null) return first?.();
    try {
      const now = readTlsFiles(paths);
      if (isDeepStrictEqual(now, current)) return;
      current = now;
      onLoaded(now);
    } catch (error) {
      onFailed(error instanceof SallyportError ? error.describe() : String(error));
    }
  };
  const watch = watchPaths([paths.cert, paths.key, ...(paths.clientCa === null ? [] : [paths.clientCa])], look);
  try {
    await watch.ready;
    let said: string | null = null;
    while (current === null)
      try {
        current = readTlsFiles(paths);
      } catch (error) {
        // Who has waited for them sees them being written, and they need not be whole yet.
        if (!(error instanceof SallyportError) || (said === null && !isMissing(error))) throw error;
        if (said !== error.message) onWaiting(error.message);
        said = error.message;
        await new Promise<void>((resolve) => (first = resolve));
      }
  } catch (error) {
    watch.close();
    throw error;
  }
  return {files: current, close: () => watch.close()};
}

const isMissing = ({cause}: SallyportError): boolean => (cause as {code?: unknown} | undefined)?.code === 'ENOENT';
