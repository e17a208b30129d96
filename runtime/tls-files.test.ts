import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {meshCa} from '../extauthz/sds/testing/mesh-ca.ts';
import {readTlsFiles, watchTlsFiles, type TlsFiles, type TlsPaths} from './tls-files.ts';

const ca = meshCa();
const {cert_chain, private_key} = ca.pair('localhost');
let dir: string;
let paths: TlsPaths;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-tls-files-'));
  paths = {cert: join(dir, 'tls.crt'), key: join(dir, 'tls.key'), clientCa: join(dir, 'ca.crt')};
  writeFileSync(paths.cert, cert_chain);
  writeFileSync(paths.key, private_key);
  writeFileSync(paths.clientCa!, ca.root);
});
afterEach(() => rmSync(dir, {recursive: true}));

test('certificate, key and client CA are read as they are', () => {
  expect(readTlsFiles(paths)).toEqual({
    cert: String(cert_chain),
    key: String(private_key),
    clientCa: String(ca.root),
  });
  expect(readTlsFiles({...paths, clientCa: null}).clientCa).toBeNull();
});

// A file that is just being written is empty for a moment. OpenSSL takes what is not there for what is not wanted.
const half = (pem: Buffer): string => String(pem).slice(0, pem.length / 2);
describe('a file without what it should hold is unusable', () => {
  test.each<[string, keyof TlsPaths, string, string]>([
    ['an empty certificate: nobody could be served', 'cert', '', '--tls-cert'],
    ['half a certificate', 'cert', half(cert_chain), '--tls-cert'],
    ['an empty key', 'key', '', '--tls-key'],
    ['half a key', 'key', half(private_key), '--tls-key'],
    ['an empty client CA: all public CAs would count', 'clientCa', '', '--client-ca'],
    ['a client CA of spaces', 'clientCa', ' \n', '--client-ca'],
    ['half a client CA: nobody would be let in', 'clientCa', half(ca.root), '--client-ca'],
    ['a client CA whose last certificate is cut', 'clientCa', String(ca.root) + half(ca.root), '--client-ca'],
    ['a client CA that is a key', 'clientCa', String(private_key), '--client-ca'],
  ])('%s', (_, which, text, flag) => {
    writeFileSync(paths[which]!, text);
    expect(() => readTlsFiles(paths)).toThrow(
      expect.objectContaining({
        code: expect.stringMatching(/^(BadCertificate|CertificatesUnusable)$/),
        message: expect.stringContaining(flag),
      }),
    );
  });
});

describe('files that are watched', () => {
  const told = {waiting: [] as string[], loaded: [] as TlsFiles[], failed: [] as string[]};
  let wake: (() => void) | null = null;
  const tell =
    <T>(into: T[]) =>
    (value: T): void => {
      into.push(value);
      wake?.();
    };
  const watching = () =>
    watchTlsFiles(paths, {
      onWaiting: tell(told.waiting),
      onLoaded: tell(told.loaded),
      onFailed: tell(told.failed),
    });
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise<void>((resolve) => (wake = resolve));
  };
  beforeEach(() => {
    for (const list of Object.values(told)) list.length = 0;
  });

  test('are waited for where they are not there yet, and it is said', async () => {
    rmSync(paths.cert);
    rmSync(paths.key);
    const asked = watching();
    await until(() => told.waiting.length > 0);
    expect(told.waiting).toEqual([expect.stringMatching(/--tls-cert .*ENOENT/)]);
    writeFileSync(paths.cert, half(cert_chain));
    writeFileSync(paths.key, private_key);
    await until(() => told.waiting.length > 1);
    writeFileSync(paths.cert, cert_chain);
    const watched = await asked;
    expect(watched.files.cert).toBe(String(cert_chain));
    watched.close();
  });

  test('are told when they are others, and not when those that came are bad', async () => {
    const watched = await watching();
    writeFileSync(paths.key, 'none');
    await until(() => told.failed.length > 0);
    expect(told.loaded).toEqual([]);
    const next = ca.pair('localhost');
    writeFileSync(paths.cert, next.cert_chain);
    writeFileSync(paths.key, next.private_key);
    await until(() => told.loaded.at(-1)?.cert === String(next.cert_chain));
    watched.close();
  });

  test('that are there and bad are refused at the start', async () => {
    writeFileSync(paths.key, 'none');
    await expect(watching()).rejects.toMatchObject({code: 'CertificatesUnusable'});
  });
});
