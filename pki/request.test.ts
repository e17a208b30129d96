import {execFileSync} from 'node:child_process';
import {generateKeyPairSync} from 'node:crypto';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {signingKey} from './certificate.ts';
import {newKey, publicKeyOf} from './issue.ts';
import {certificateRequest, MAX_REQUEST_BYTES, readCertificateRequest} from './request.ts';

const key = newKey();
const pem = certificateRequest('node-1.example', key);
const bytesOf = (text: string): Buffer => Buffer.from(text.replace(/-----[^-]+-----|\n/g, ''), 'base64');
const pemOf = (bytes: Buffer): string =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;

test('what is written is read: name and key', () => {
  expect(readCertificateRequest(pem)).toEqual({
    kind: 'request',
    commonName: 'node-1.example',
    publicKey: publicKeyOf(key.key),
  });
});

test('P-384 is taken too', () => {
  const longer = signingKey(generateKeyPairSync('ec', {namedCurve: 'P-384'}).privateKey)!;
  expect(readCertificateRequest(certificateRequest('n', longer)).kind).toBe('request');
});

describe('beside openssl', () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'sallyport-request-'));
  });
  afterAll(() => rmSync(dir, {recursive: true}));
  const made = (...more: string[]): string =>
    execFileSync('openssl', ['req', '-new', '-nodes', '-keyout', join(dir, 'key'), ...more], {encoding: 'utf8'});
  const P256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

  test('it verifies ours, and ours reads its plain one', () => {
    const said = execFileSync('openssl', ['req', '-verify', '-noout', '-subject'], {input: pem, encoding: 'utf8'});
    expect(said).toContain('CN = node-1.example');
    expect(readCertificateRequest(made(...P256, '-subj', '/CN=n'))).toMatchObject({kind: 'request', commonName: 'n'});
  });

  test.each<[string, string[], RegExp]>([
    ['a further name', [...P256, '-subj', '/CN=n', '-addext', 'subjectAltName=DNS:*'], /attributes or extensions/],
    ['a CA without limits', [...P256, '-subj', '/CN=n', '-addext', 'basicConstraints=CA:TRUE'], /attributes/],
    ['a group beside the name', [...P256, '-subj', '/O=system:masters/CN=n'], /not one CN alone/],
    ['two names', [...P256, '-subj', '/CN=a/CN=b'], /not one CN alone/],
    ['two names in one', [...P256, '-subj', '/CN=a+CN=b', '-multivalue-rdn'], /not one CN alone/],
    ['no name', [...P256, '-subj', '/'], /not one CN alone/],
    ['RSA', ['-newkey', 'rsa:2048', '-subj', '/CN=n'], /not ECDSA/],
    ['another curve', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1', '-subj', '/CN=n'], /not ECDSA/],
    ['a weaker hash', [...P256, '-sha1', '-subj', '/CN=n'], /hash of its curve/],
    [
      'explicit curve parameters (CVE-2020-0601)',
      ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-pkeyopt', 'ec_param_enc:explicit', '-subj', '/CN=n'],
      /not ECDSA/,
    ],
  ])('a request for %s is refused', (_, argv, why) => {
    expect(readCertificateRequest(made(...argv))).toEqual({kind: 'bad', why: expect.stringMatching(why)});
  });
});

test('one signed by another key than it names is refused: nobody gets a certificate for a key that is not his', () => {
  const other = bytesOf(certificateRequest('node-1.example', newKey()));
  const ours = bytesOf(pem);
  const at = ours.indexOf(publicKeyOf(key.key));
  publicKeyOf(newKey().key).copy(other, at);
  expect(readCertificateRequest(pemOf(other))).toMatchObject({why: expect.stringMatching(/not signed by the key/)});
});

test.each<[string, string, RegExp]>([
  ['nothing', '', /one PEM block/],
  ['two of them', pem + pem, /one PEM block/],
  ['a certificate', pem.replaceAll('CERTIFICATE REQUEST', 'CERTIFICATE'), /one PEM block/],
  ['half of one', pemOf(bytesOf(pem).subarray(0, 100)), /PKCS#10/],
  ['one with something behind it', pemOf(Buffer.concat([bytesOf(pem), Buffer.from([5, 0])])), /PKCS#10/],
  ['one that is too long', `${' '.repeat(MAX_REQUEST_BYTES)}${pem}`, /longer than/],
])('%s is refused', (_, text, why) => {
  expect(readCertificateRequest(text)).toEqual({kind: 'bad', why: expect.stringMatching(why)});
});

test('whatever bit is changed, it is refused, and never throws', () => {
  const bytes = bytesOf(pem);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({min: 1, max: 255}), (at, flip) => {
      const changed = Buffer.from(bytes);
      changed[at]! ^= flip;
      expect(readCertificateRequest(pemOf(changed)).kind).toBe('bad');
    }),
    {numRuns: 1_000},
  );
});
