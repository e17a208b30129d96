import {X509Certificate} from 'node:crypto';
import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {distinguishedName, extensions, keyIdentifier, signCertificate} from '../../../pki/certificate.ts';
import {bitString, contextPrimitive, derTrue, octetString, oid, sequence} from '../../../pki/der.ts';
import {
  certificatePem,
  makeIntermediate,
  makeRoot,
  newKey,
  parseCaCertificates,
  publicKeyOf,
  type Pair,
} from '../../../pki/index.ts';
import {rootPemOf, testIdentity, testWorkloadCa} from './testing.ts';
import {MAX_CHAIN_CERTIFICATES, verifyPeer} from './verify-peer.ts';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const HOUR_MS = 3_600_000;
const ID = 'spiffe://cluster.local/ns/shop/sa/web';
const OTHER = 'spiffe://cluster.local/ns/shop/sa/admin';
const ca = testWorkloadCa('cluster.local', NOW);
const roots = rootPemOf(ca);
const good = testIdentity(ca, ID, HOUR_MS, NOW);
const der = (pem: string): Buffer => new X509Certificate(pem).raw;

const reason = (chain: Parameters<typeof verifyPeer>[0], rootsPem = roots, id = ID, nowMs = NOW): string => {
  const verdict = verifyPeer(chain, rootsPem, id, nowMs);
  return verdict.ok ? 'ok' : verdict.reason;
};

const USAGE = {
  handshake: extensions.signsHandshakes,
  /** keyEncipherment alone. */
  encipher: sequence(oid('2.5.29.15'), derTrue, octetString(bitString(Buffer.from([0x20]), 5))),
  /** digitalSignature and keyCertSign. */
  both: sequence(oid('2.5.29.15'), derTrue, octetString(bitString(Buffer.from([0x84]), 2))),
} as const;
const clientAuth = sequence(oid('2.5.29.37'), octetString(sequence(oid('1.3.6.1.5.5.7.3.2'))));
const names = (...list: Buffer[]): Buffer => sequence(oid('2.5.29.17'), derTrue, octetString(sequence(...list)));
const uri = (text: string): Buffer => contextPrimitive(6, Buffer.from(text, 'latin1'));
const dns = (text: string): Buffer => contextPrimitive(2, Buffer.from(text, 'latin1'));

/** A leaf of these extensions, DER. */
function leaf(more: readonly Buffer[], of: {issuer?: Pair; notBeforeMs?: number; notAfterMs?: number} = {}): Buffer {
  const {issuer = ca, notBeforeMs = NOW - HOUR_MS, notAfterMs = NOW + HOUR_MS} = of;
  const publicKey = publicKeyOf(newKey().key);
  const own = [
    extensions.subjectKeyIdentifier(keyIdentifier(publicKey)),
    extensions.authorityKeyIdentifier(issuer.chain[0]!.keyIdentifier),
  ];
  const fields = {issuer: issuer.chain[0]!.subject, subject: distinguishedName({}), notBeforeMs, notAfterMs, publicKey};
  return signCertificate({...fields, extensions: [...more, ...own]}, issuer.key);
}
const SVID = [extensions.notCa, USAGE.handshake, extensions.serverAndClientAuth, names(uri(ID))] as const;
const without = (...left: Buffer[]): Buffer[] => SVID.filter((one) => !left.includes(one));
const [NOT_CA, , PURPOSES, NAMES] = SVID;

describe('whose certificate is taken', () => {
  test('the one whom the workload table says has the address', () => {
    expect(reason(good.chainPem)).toBe('ok');
    expect(reason([der(good.chainPem)])).toBe('ok');
    expect(reason([leaf(SVID)])).toBe('ok');
  });

  test('a valid certificate of another ServiceAccount is not: a stolen address, or a stolen name', () => {
    expect(reason(testIdentity(ca, OTHER, HOUR_MS, NOW).chainPem)).toBe(`it is ${OTHER}, and its address is of ${ID}`);
    expect(reason(good.chainPem, roots, 'spiffe://other.example/ns/shop/sa/web')).toMatch(/^it is /);
  });

  test('nobody is taken for an address that nobody is known to have', () => {
    expect(reason(good.chainPem, roots, '')).toBe('nobody is known to have its address');
    expect(reason([leaf([...without(NAMES), names(uri(''))])], roots, '')).toMatch(/nobody/);
  });

  test.each<[string, readonly Buffer[], RegExp]>([
    ['no name', without(NAMES), /one URI name alone/],
    ['two names, the second of which is right', [...without(NAMES), names(uri(OTHER), uri(ID))], /one URI name alone/],
    ['two names, the first of which is right', [...without(NAMES), names(uri(ID), uri(OTHER))], /one URI name alone/],
    ['a DNS name beside it', [...without(NAMES), names(uri(ID), dns('web'))], /one URI name alone/],
    ['the id as a DNS name', [...without(NAMES), names(dns(ID))], /one URI name alone/],
    ['an id and NUL', [...without(NAMES), names(uri(`${ID}\0.evil`))], /no SPIFFE id/],
    ['an id of another form', [...without(NAMES), names(uri('spiffe://cluster.local/web'))], /no SPIFFE id/],
    ["a CA's", [...without(NOT_CA), extensions.ca(0)], /a CA's/],
    ['a key that is not for signatures', [NOT_CA, USAGE.encipher, PURPOSES, NAMES], /digitalSignature/],
    ['a key that nothing is said of', [NOT_CA, PURPOSES, NAMES], /digitalSignature/],
    ['a key that signs certificates too', [NOT_CA, USAGE.both, PURPOSES, NAMES], /signing certificates/],
    ['servers alone (what our CA for sites makes)', [...without(PURPOSES), extensions.serverAuth], /extKeyUsage/],
    ['clients alone', [...without(PURPOSES), clientAuth], /extKeyUsage/],
    ['every purpose', without(PURPOSES), /extKeyUsage/],
    [
      'something critical that nobody knows',
      [...SVID, sequence(oid('1.2.3.4'), derTrue, octetString(Buffer.alloc(0)))],
      /critical/,
    ],
    ['the same extension twice', [...SVID, names(uri(ID))], /cannot be read/],
  ])('not one with %s', (_what, more, why) => {
    expect(reason([leaf(more)])).toMatch(why);
  });

  test.each([
    {what: 'beginning', of: {notBeforeMs: Date.UTC(12_026, 0)}},
    {what: 'end', of: {notAfterMs: Date.UTC(12_026, 0)}},
  ])('a $what that is no time is refused', ({of}) => {
    // A CA that writes it so has made an identity for ever, where a comparison with no number is false.
    expect(reason([leaf(SVID, of)])).not.toBe('ok');
  });

  test('not before its time, and not after it', () => {
    expect(reason(good.chainPem, roots, ID, good.notAfterMs)).toMatch(/^its certificate ended at 2026-06-01T13:00:00/);
    expect(reason(good.chainPem, roots, ID, good.notAfterMs - 1)).toBe('ok');
    expect(reason([leaf(SVID, {notBeforeMs: NOW + 1_000})])).toMatch(/not valid before/);
  });

  test('bytes that are no certificate, none, and too many', () => {
    expect(reason([Buffer.from('x')])).toMatch(/cannot be read/);
    expect(reason([])).toBe('it showed no certificate');
    expect(reason('')).toBe('it showed no certificate');
    const [one] = [der(good.chainPem)];
    expect(reason(Array.from({length: MAX_CHAIN_CERTIFICATES + 1}, () => one))).toMatch(/more than 4/);
  });

  test('no change of any byte of a good one is taken', () => {
    const bytes = der(good.chainPem);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({min: 1, max: 255}), (at, change) => {
        const changed = Buffer.from(bytes);
        changed[at]! ^= change;
        expect(reason([changed])).not.toBe('ok');
      }),
      {numRuns: 500},
    );
  });
});

describe('under whose CA', () => {
  test('one of another CA of the same name is refused, also where it brings that CA along', () => {
    const stranger = testWorkloadCa('cluster.local', NOW);
    const {chainPem} = testIdentity(stranger, ID, HOUR_MS, NOW);
    expect(reason(chainPem)).toMatch(/CA that we believe/);
    expect(reason(chainPem + rootPemOf(stranger))).toMatch(/CA that we believe/);
    expect(reason(chainPem, '')).toMatch(/CA that we believe/);
  });

  test('of several roots each counts, as while they rotate', () => {
    const next = testWorkloadCa('cluster.local', NOW);
    const both = roots + rootPemOf(next);
    expect(reason(good.chainPem, both)).toBe('ok');
    expect(reason(testIdentity(next, ID, HOUR_MS, NOW).chainPem, both)).toBe('ok');
  });

  test('a root that has ended carries nobody', () => {
    const short = testWorkloadCa('cluster.local', NOW, 1_000);
    expect(reason([leaf(SVID, {issuer: short})], rootPemOf(short), ID, NOW + 2_000)).toMatch(/the root above it ended/);
  });

  test('a leaf is no CA: what a workload signs with its own key is nobody', () => {
    const key = newKey();
    const publicKey = publicKeyOf(key.key);
    const web = signCertificate(
      {
        ...{issuer: ca.chain[0]!.subject, subject: distinguishedName({commonName: 'web'}), publicKey},
        ...{notBeforeMs: NOW - HOUR_MS, notAfterMs: NOW + HOUR_MS, extensions: SVID},
      },
      ca.key,
    );
    const below = signCertificate(
      {
        ...{issuer: distinguishedName({commonName: 'web'}), subject: distinguishedName({})},
        ...{publicKey: publicKeyOf(newKey().key), extensions: SVID},
        ...{notBeforeMs: NOW - HOUR_MS, notAfterMs: NOW + HOUR_MS},
      },
      key,
    );
    expect(reason([below, web])).not.toBe('ok');
  });

  test("a site's CA under a root that signs for workloads too makes no ids: its purpose is servers alone", () => {
    const key = newKey();
    const root = testWorkloadCa(null, NOW);
    const chain = makeIntermediate(
      root,
      {publicKey: publicKeyOf(key.key), purpose: 'node-1', lifeMs: HOUR_MS},
      NOW,
      'a test',
    );
    const site: Pair = {chain, key};
    expect(reason([leaf(SVID, {issuer: site}), chain[0]!.x509.raw], rootPemOf(root))).toMatch(
      /not for clients and servers/,
    );
    expect(reason([leaf(SVID, {issuer: site})], rootPemOf(root))).toMatch(/CA that we believe/);
  });

  test.each<[string, number, RegExp]>([
    ['one between them is taken', 1, /^ok$/],
    ['two are more than the root allows (pathlen)', 2, /pathlen/],
  ])('intermediates: %s', (_what, count, why) => {
    let issuer: Pair = testWorkloadCa(null, NOW);
    const root = rootPemOf(issuer);
    const between: Buffer[] = [];
    for (let i = 0; i < count; i++) {
      const key = newKey();
      const publicKey = publicKeyOf(key.key);
      const certificate = signCertificate(
        {
          ...{issuer: issuer.chain[0]!.subject, subject: distinguishedName({commonName: `between ${i}`}), publicKey},
          ...{notBeforeMs: NOW - HOUR_MS, notAfterMs: NOW + HOUR_MS},
          extensions: [
            extensions.ca(1),
            extensions.signsCertificates,
            extensions.subjectKeyIdentifier(keyIdentifier(publicKey)),
            extensions.authorityKeyIdentifier(issuer.chain[0]!.keyIdentifier),
          ],
        },
        issuer.key,
      );
      between.unshift(certificate);
      issuer = {key, chain: parseCaCertificates(certificatePem(certificate), 'a test')};
    }
    expect(reason([leaf(SVID, {issuer}), ...between], root)).toMatch(why);
  });

  test.each<[string, string | null, RegExp]>([
    ['its own trust domain', 'cluster.local', /^ok$/],
    ['a domain above it', '.local', /^ok$/],
    ['another trust domain', 'other.example', /may not name its trust domain/],
    ['a name that only begins alike', 'cluster.locals', /may not name/],
    ['what is below it alone', '.cluster.local', /may not name/],
    ['whatever it likes', null, /^ok$/],
  ])('a root that may name %s', (_what, host, why) => {
    const root = testWorkloadCa(host, NOW);
    expect(reason([leaf(SVID, {issuer: root})], rootPemOf(root))).toMatch(why);
  });

  test('a root without keyUsage that is no CA is none', () => {
    const key = newKey();
    const publicKey = publicKeyOf(key.key);
    const subject = distinguishedName({commonName: 'no CA'});
    const fake = certificatePem(
      signCertificate(
        {
          ...{issuer: subject, subject, publicKey, notBeforeMs: NOW - HOUR_MS, notAfterMs: NOW + HOUR_MS},
          extensions: [extensions.notCa, extensions.subjectKeyIdentifier(keyIdentifier(publicKey))],
        },
        key,
      ),
    );
    const issuer = {key, chain: parseCaCertificates(fake, 'a test')};
    expect(reason([leaf(SVID, {issuer})], fake)).not.toBe('ok');
  });

  test('a root that signs for sites is not looked at, whatever it signed', () => {
    const key = newKey();
    const site = certificatePem(makeRoot(key, NOW, HOUR_MS));
    expect(reason([leaf(SVID, {issuer: {key, chain: parseCaCertificates(site, 'a test')}})])).toMatch(
      /CA that we believe/,
    );
  });
});
