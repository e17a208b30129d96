import {X509Certificate} from 'node:crypto';
import {mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {getCACertificates} from 'node:tls';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import forge from 'node-forge';
import {ephemeralCa, openCa} from './ca.ts';
import {TRUST_STORE_PASSWORD, publishTrust, trustBundlePem, trustBundlePkcs12} from './trust-bundle.ts';

const {rootPem} = ephemeralCa();
const blocks = (pem: string) => pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
const fingerprints = (pem: string) => blocks(pem).map((block) => new X509Certificate(block).fingerprint256);

describe('a trust bundle', () => {
  test('holds our root first, then the extra ones, then the public ones', () => {
    const extra = ephemeralCa().rootPem;
    const pem = trustBundlePem({roots: [rootPem], extra: [extra]});
    const seen = fingerprints(pem);
    expect(seen.slice(0, 2)).toEqual([rootPem, extra].map((root) => new X509Certificate(root).fingerprint256));
    expect(seen).toHaveLength(2 + getCACertificates('bundled').length);
  });

  test('holds each certificate once, several of one file too', () => {
    const other = ephemeralCa().rootPem;
    expect(
      blocks(trustBundlePem({roots: [rootPem, rootPem + other], extra: [other], publicRoots: 'none'})),
    ).toHaveLength(2);
  });

  test('keeps the old root while a new one is brought in', () => {
    const old = ephemeralCa().rootPem;
    expect(fingerprints(trustBundlePem({roots: [rootPem, old], publicRoots: 'none'}))).toHaveLength(2);
  });

  test.each(['', 'hello', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'])(
    'is not made of %j',
    (pem) => {
      expect(() => trustBundlePem({roots: [rootPem], extra: [pem]})).toThrow(
        expect.objectContaining({code: 'BundleUnparsable'}),
      );
    },
  );

  test('as PKCS#12 marks each certificate as trusted for Java, and names it once', () => {
    // node-forge is another implementation: it walks the structure and finds bags and attributes.
    const asn1 = forge.asn1.fromDer(trustBundlePkcs12({roots: [rootPem]}).toString('latin1'));
    const store = forge.pkcs12.pkcs12FromAsn1(withoutMac(asn1), false, TRUST_STORE_PASSWORD);
    const bags = store.getBags({bagType: forge.pki.oids['certBag']!})[forge.pki.oids['certBag']!]!;
    expect(bags).toHaveLength(1 + getCACertificates('bundled').length);
    const names = bags.map((bag) => (bag.attributes as {friendlyName: string[]}).friendlyName[0]!.toLowerCase());
    expect(new Set(names).size).toBe(bags.length);
    expect(names[0]).toMatch(/^1 sallyport root ca/);
  });
});

/** It knows no MAC but SHA-1's; a real Java checks ours (trust-bundle.lab.test.ts). */
function withoutMac(pfx: forge.asn1.Asn1): forge.asn1.Asn1 {
  return {...pfx, value: (pfx.value as forge.asn1.Asn1[]).slice(0, 2)};
}

describe('published trust', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sp-trust-'));
  });
  afterEach(() => rmSync(dir, {recursive: true}));
  const read = (name: string) => readFileSync(join(dir, name), 'utf8');

  test('is our root alone, and the bundles, readable by all and without a key', () => {
    const ca = openCa({dir});
    publishTrust({dir, ca});
    expect(read('ca.crt')).toBe(ca.rootPem);
    expect(fingerprints(read('bundle.pem'))[0]).toBe(new X509Certificate(ca.rootPem).fingerprint256);
    for (const name of ['ca.crt', 'bundle.pem', 'bundle.p12']) {
      expect(statSync(join(dir, name)).mode & 0o777).toBe(0o644);
      expect(readFileSync(join(dir, name), 'latin1')).not.toContain('PRIVATE KEY');
    }
  });

  test('is written again only where it differs', () => {
    const ca = openCa({dir});
    publishTrust({dir, ca});
    const before = readdirSync(dir).map((name) => statSync(join(dir, name)).ino);
    publishTrust({dir, ca});
    expect(readdirSync(dir).map((name) => statSync(join(dir, name)).ino)).toEqual(before);
    publishTrust({dir, ca, extra: [rootPem]});
    expect(fingerprints(read('bundle.pem'))).toContain(new X509Certificate(rootPem).fingerprint256);
  });

  test('is repaired where somebody wrote over it', () => {
    const ca = openCa({dir});
    writeFileSync(join(dir, 'bundle.pem'), 'x');
    publishTrust({dir, ca});
    expect(blocks(read('bundle.pem')).length).toBeGreaterThan(1);
  });

  test('does not stand in the way of opening the CA again', () => {
    const ca = openCa({dir});
    publishTrust({dir, ca});
    expect(openCa({dir}).rootPem).toBe(ca.rootPem);
  });
});

test('the trust store’s password is the one that Java expects', () => {
  expect(TRUST_STORE_PASSWORD).toBe('changeit');
});
