import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {meshCa} from '../extauthz/sds/testing/mesh-ca.ts';
import {readTlsFiles, type TlsPaths} from './tls-files.ts';

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
describe('a file without what it should hold is unusable', () => {
  const half = (pem: Buffer): string => String(pem).slice(0, pem.length / 2);
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
