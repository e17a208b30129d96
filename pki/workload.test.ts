import {execFileSync} from 'node:child_process';
import {X509Certificate} from 'node:crypto';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {distinguishedName, extensions, keyIdentifier, signCertificate} from './certificate.ts';
import {
  certificatePem,
  certificateRequest,
  makeRoot,
  makeServerCertificate,
  newKey,
  parseCaCertificates,
  publicKeyOf,
  type Pair,
} from './index.ts';
import {makeWorkloadCertificate, readWorkloadRequest, workloadRequest} from './workload.ts';

const URI = 'spiffe://cluster.local/ns/shop/sa/web';
const key = newKey();
const pem = workloadRequest(URI, key);
const HOUR_MS = 3_600_000;

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-workload-'));
});
afterAll(() => rmSync(dir, {recursive: true}));
const openssl = (argv: string[], input = ''): string =>
  execFileSync('openssl', argv, {input, encoding: 'utf8', stdio: 'pipe'});

describe('requests of workloads', () => {
  test('what is written is read for its own name, and openssl verifies it', () => {
    expect(readWorkloadRequest(pem, URI)).toEqual({kind: 'request', publicKey: publicKeyOf(key.key)});
    expect(openssl(['req', '-verify', '-noout', '-text'], pem)).toContain(`URI:${URI}`);
  });

  test('for another name it is another', () => {
    expect(readWorkloadRequest(pem, `${URI}x`)).toEqual({kind: 'another'});
    expect(readWorkloadRequest(workloadRequest('spiffe://cluster.local/ns/kube-system/sa/admin', key), URI)).toEqual({
      kind: 'another',
    });
  });

  test.each<[string, string[]]>([
    ['a DNS name beside it', ['-subj', '/', '-addext', `subjectAltName=critical,URI:${URI},DNS:bank.example`]],
    [
      'the right to sign',
      ['-subj', '/', '-addext', `subjectAltName=critical,URI:${URI}`, '-addext', 'basicConstraints=CA:TRUE'],
    ],
    ['a subject', ['-subj', '/CN=web', '-addext', `subjectAltName=critical,URI:${URI}`]],
    ['no name', ['-subj', '/']],
  ])('one that asks for %s is refused, and not trimmed', (_what, more) => {
    const made = openssl([
      ...['req', '-new', '-nodes', '-keyout', join(dir, 'key'), '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
      ...more,
    ]);
    expect(readWorkloadRequest(made, URI).kind).toBe('another');
  });

  test("a node's request is none of a workload", () => {
    expect(readWorkloadRequest(certificateRequest('node-1', key), URI)).toEqual({kind: 'another'});
  });

  test('no change of any byte is taken', () => {
    const bytes = Buffer.from(pem.replace(/-----[^-]+-----|\n/g, ''), 'base64');
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({min: 1, max: 255}), (at, change) => {
        const changed = Buffer.from(bytes);
        changed[at]! ^= change;
        const text = `-----BEGIN CERTIFICATE REQUEST-----\n${changed.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
        expect(readWorkloadRequest(text, URI).kind).not.toBe('request');
      }),
      {numRuns: 500},
    );
  });

  test('whatever text comes, it is answered and nothing is thrown', () => {
    fc.assert(
      fc.property(fc.string({maxLength: 200}), (text) => expect(readWorkloadRequest(text, URI).kind).toBe('bad')),
    );
    expect(readWorkloadRequest(`${pem}${'\n'.repeat(5_000)}`, URI)).toMatchObject({
      kind: 'bad',
      why: expect.stringMatching(/longer than 4096/),
    });
  });
});

describe('a CA of workloads', () => {
  const nowMs = Date.now();
  const rootKey = newKey();
  const root: Pair = {
    key: rootKey,
    chain: parseCaCertificates(
      certificatePem(makeRoot(rootKey, nowMs, 24 * HOUR_MS, 'workloads root', 'cluster.local')),
      'a test',
    ),
  };
  const verified = (leafPem: string, purpose: string): string => {
    writeFileSync(join(dir, 'root.pem'), root.chain[0]!.pem);
    writeFileSync(join(dir, 'leaf.pem'), leafPem);
    try {
      return openssl([
        'verify',
        '-x509_strict',
        '-purpose',
        purpose,
        '-CAfile',
        join(dir, 'root.pem'),
        join(dir, 'leaf.pem'),
      ]);
    } catch (error) {
      return (error as {stderr: string}).stderr;
    }
  };

  test('its leaf is one URI, for clients and servers, and openssl takes it', () => {
    const {chainPem, notAfterMs} = makeWorkloadCertificate(
      root,
      {publicKey: publicKeyOf(key.key), uri: URI, lifeMs: HOUR_MS},
      nowMs,
    );
    const x509 = new X509Certificate(chainPem);
    expect([x509.subjectAltName, x509.subject, x509.ca]).toEqual([`URI:${URI}`, undefined, false]);
    expect(Date.parse(x509.validTo)).toBe(notAfterMs);
    expect(notAfterMs).toBeLessThanOrEqual(nowMs + HOUR_MS);
    for (const purpose of ['sslclient', 'sslserver']) expect(verified(chainPem, purpose)).toMatch(/: OK$/m);
  });

  test('it never outlives what is above it', () => {
    const {notAfterMs} = makeWorkloadCertificate(
      root,
      {publicKey: publicKeyOf(key.key), uri: URI, lifeMs: 99 * 24 * HOUR_MS},
      nowMs,
    );
    expect(notAfterMs).toBe(root.chain[0]!.notAfterMs);
  });

  test('what it signs for a site, an address or another trust domain no verifier takes, also where somebody trusts it', () => {
    const site = makeServerCertificate(root, ['bank.example'], nowMs, HOUR_MS).chainPem;
    expect(verified(site, 'sslserver')).toMatch(/excluded subtree violation/);
    const named = (name: {ip: Buffer} | {uri: string}): string => {
      const publicKey = publicKeyOf(newKey().key);
      return certificatePem(
        signCertificate(
          {
            ...{issuer: root.chain[0]!.subject, subject: distinguishedName({}), publicKey},
            ...{notBeforeMs: nowMs - HOUR_MS, notAfterMs: nowMs + HOUR_MS},
            extensions: [
              ...[extensions.notCa, extensions.signsHandshakes, extensions.serverAndClientAuth],
              extensions.subjectAltName(name, true),
              extensions.subjectKeyIdentifier(keyIdentifier(publicKey)),
              extensions.authorityKeyIdentifier(root.chain[0]!.keyIdentifier),
            ],
          },
          root.key,
        ),
      );
    };
    expect(verified(named({ip: Buffer.from([192, 0, 2, 1])}), 'sslserver')).toMatch(/excluded subtree violation/);
    expect(verified(named({ip: Buffer.alloc(16, 1)}), 'sslserver')).toMatch(/excluded subtree violation/);
    expect(verified(named({uri: 'spiffe://other.example/ns/a/sa/b'}), 'sslclient')).toMatch(
      /permitted subtree violation/,
    );
    expect(verified(named({uri: URI}), 'sslclient')).toMatch(/: OK$/m);
  });
});
