import {X509Certificate, createPrivateKey, createPublicKey, generateKeyPairSync} from 'node:crypto';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:net';
import type {AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {TLSSocket, connect} from 'node:tls';
import type {ConnectionOptions, PeerCertificate, SecureContext} from 'node:tls';
import {describe, expect, test} from '@jest/globals';
import {ephemeralCa, openCa} from './ca.ts';
import {certificatePem, distinguishedName, extensions, signCertificate, signingKey} from './certificate.ts';
import {createLeafMint, createLeafSource} from './leaf.ts';

const HOUR_MS = 3_600_000;
const ca = ephemeralCa();

interface Seen {
  readonly authorized: boolean;
  readonly error: string | null;
  readonly protocol: string | null;
  readonly peer: PeerCertificate;
  readonly reused: boolean;
  readonly session: Buffer | undefined;
}

/** One handshake with a server of this context, through loopback. */
async function handshake(secureContext: SecureContext, options: ConnectionOptions = {}): Promise<Seen> {
  const server = createServer((socket) => {
    const tls = new TLSSocket(socket, {isServer: true, secureContext});
    tls.on('error', () => tls.destroy());
    tls.on('secure', () => tls.end('bye'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await new Promise<Seen>((resolve, reject) => {
      let session: Buffer | undefined;
      const client = connect({
        port: (server.address() as AddressInfo).port,
        host: '127.0.0.1',
        ca: ca.rootPem,
        rejectUnauthorized: false,
        ...options,
      });
      client.on('session', (ticket) => (session = ticket));
      client.on('error', reject);
      client.once('secureConnect', () => {
        const seen = {
          authorized: client.authorized,
          error: client.authorizationError ? String(client.authorizationError) : null,
          protocol: client.getProtocol(),
          peer: client.getPeerCertificate(true),
          reused: client.isSessionReused(),
        };
        client.on('data', () => undefined);
        client.on('close', () => resolve({...seen, session}));
      });
    });
  } finally {
    server.close();
  }
}

const leafOf = (seen: Seen) => new X509Certificate(seen.peer.raw);

describe('a leaf', () => {
  test.each([
    ['a host name', 'api.example.com', 'DNS:api.example.com'],
    ['a name with underscore', '_dmarc.example.com', 'DNS:_dmarc.example.com'],
    ['an internationalized name', 'xn--mnchen-3ya.example', 'DNS:xn--mnchen-3ya.example'],
    ['a name of over 64 characters', `${'a'.repeat(63)}.example.com`, `DNS:${'a'.repeat(63)}.example.com`],
  ])('of %s carries it as its one SAN and verifies', async (_what, name, san) => {
    const seen = await handshake(createLeafSource({ca}).context(name), {servername: name});
    expect(seen).toMatchObject({authorized: true, error: null, protocol: 'TLSv1.3'});
    expect(leafOf(seen).subjectAltName).toBe(san);
  });

  test.each([
    ['IPv4', '192.0.2.7', 'IP Address:192.0.2.7'],
    ['IPv6', '2001:db8::7', 'IP Address:2001:DB8:0:0:0:0:0:7'],
  ])('of an %s literal carries it as an address', async (_what, name, san) => {
    const seen = await handshake(createLeafSource({ca}).context(name), {checkServerIdentity: () => undefined});
    expect(seen.error).toBeNull();
    expect(leafOf(seen).subjectAltName).toBe(san);
    expect(leafOf(seen).checkIP(name)).toBe(name);
  });

  test('is for servers, of P-256, no CA, dated back, and short-lived', async () => {
    const before = Date.now();
    const leaf = leafOf(await handshake(createLeafSource({ca}).context('a.test')));
    expect(leaf.ca).toBe(false);
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(leaf.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(leaf.infoAccess).toBeUndefined();
    expect(Date.parse(leaf.validFrom)).toBeLessThanOrEqual(before - HOUR_MS);
    expect(Date.parse(leaf.validTo) - before).toBeLessThanOrEqual(8 * 24 * HOUR_MS);
  });

  test('of a long name has an empty subject and a critical SAN', async () => {
    const leaf = leafOf(await handshake(createLeafSource({ca}).context(`${'b'.repeat(60)}.example`)));
    expect(leaf.subject).toBeFalsy();
    // 2.5.29.17, then TRUE.
    expect(leaf.raw.includes(Buffer.from('0603551d110101ff', 'hex'))).toBe(true);
  });

  test('is sent with the intermediate and without the root', async () => {
    const {peer} = await handshake(createLeafSource({ca}).context('a.test'), {ca: []});
    const issuer = (peer as PeerCertificate & {issuerCertificate: PeerCertificate}).issuerCertificate;
    expect(new X509Certificate(issuer.raw).toString()).toBe(ca.issuer().certificate.x509.toString());
  });

  test.each([
    ['a wildcard', '*.example.com'],
    ['an upper-case name', 'A.test'],
    ['a trailing dot', 'a.test.'],
    ['nothing', ''],
    ['an empty label', 'a..test'],
    ['a NUL', 'a.test\0.evil'],
    ['a space', 'a test'],
    ['digits that some read as an address', '127.1'],
    ['a scoped address', 'fe80::1%eth0'],
    ['a label over 63', `${'a'.repeat(64)}.test`],
    ['a name over 253', `${'a.'.repeat(127)}test`],
    ['bytes over ASCII', 'caf\u00e9.test'],
  ])('is not made for %s', (_what, name) => {
    const leaves = createLeafSource({ca});
    expect(() => leaves.context(name)).toThrow(expect.objectContaining({code: 'BadLeafName'}));
    expect(leaves.stats().minted).toBe(0);
  });
});

describe('a context', () => {
  test('speaks TLS 1.2, and nothing before it', async () => {
    const context = createLeafSource({ca}).context('a.test');
    expect((await handshake(context, {maxVersion: 'TLSv1.2'})).protocol).toBe('TLSv1.2');
    await expect(
      handshake(context, {minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0'}),
    ).rejects.toThrow();
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'resumes a %s session under its own name, never under another',
    async (maxVersion) => {
      const leaves = createLeafSource({ca});
      const first = await handshake(leaves.context('a.test'), {servername: 'a.test', maxVersion});
      expect(first.session).toBeDefined();
      const resume = (name: string) =>
        handshake(leaves.context(name), {servername: name, maxVersion, session: first.session!});
      expect((await resume('a.test')).reused).toBe(true);
      expect((await resume('b.test')).reused).toBe(false);
    },
  );

  test('refuses renegotiation', async () => {
    const context = createLeafSource({ca}).context('a.test');
    const server = createServer((socket) => {
      const tls = new TLSSocket(socket, {isServer: true, secureContext: context});
      tls.on('error', () => tls.destroy());
      tls.on('secure', () => tls.write('ready'));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const outcome = await new Promise<string>((done) => {
        const client = connect({
          port: (server.address() as AddressInfo).port,
          host: '127.0.0.1',
          rejectUnauthorized: false,
          maxVersion: 'TLSv1.2',
        });
        const resolve = (what: string) => {
          client.destroy();
          done(what);
        };
        client.once('data', () => {
          if (!client.renegotiate({rejectUnauthorized: false}, (error) => resolve(error ? 'refused' : 'renegotiated')))
            resolve('refused');
        });
        client.once('error', () => resolve('refused'));
      });
      expect(outcome).toBe('refused');
    } finally {
      server.close();
    }
  });
});

describe('the source', () => {
  test('mints a name once, whoever asks', () => {
    const leaves = createLeafSource({ca});
    expect(leaves.has('a.test')).toBe(false);
    const context = leaves.context('a.test');
    expect(leaves.has('a.test')).toBe(true);
    expect(leaves.context('a.test')).toBe(context);
    expect(leaves.stats()).toMatchObject({minted: 1, cached: 1});
    expect(leaves.stats().mintMs).toBeGreaterThan(0);
  });

  test('keeps no more than it was told, the least recently used going first', () => {
    const leaves = createLeafSource({ca, maxLeaves: 2});
    leaves.context('a.test');
    leaves.context('b.test');
    leaves.context('a.test');
    leaves.context('c.test');
    expect([leaves.has('a.test'), leaves.has('b.test'), leaves.has('c.test')]).toEqual([true, false, true]);
    expect(leaves.stats().cached).toBe(2);
  });

  test("who asks for many names pushes out his own and nobody else's", () => {
    const source = createLeafSource({ca, maxLeaves: 100, maxLeavesPerOwner: 2});
    source.context('quiet.test', 'quiet');
    for (const name of ['a.test', 'b.test', 'c.test', 'd.test']) source.context(name, 'noisy');
    expect(['quiet.test', 'a.test', 'b.test', 'c.test', 'd.test'].map((name) => source.has(name))).toEqual([
      true,
      false,
      false,
      true,
      true,
    ]);
    source.context('a.test', 'noisy');
    expect(source.stats().cached).toBe(3);
  });

  test('mints anew before a leaf expires', () => {
    let nowMs = Date.now();
    const leaves = createLeafSource({ca, now: () => nowMs});
    const first = leaves.context('a.test');
    nowMs += 5 * 24 * HOUR_MS;
    expect(leaves.context('a.test')).toBe(first);
    nowMs += 25 * HOUR_MS;
    expect(leaves.has('a.test')).toBe(false);
    expect(leaves.context('a.test')).not.toBe(first);
  });

  test('mints anew where the clock was set back to before the leaf is valid', () => {
    let nowMs = Date.now();
    const leaves = createLeafSource({ca, now: () => nowMs});
    nowMs += 3 * 24 * HOUR_MS;
    const late = leaves.context('a.test');
    nowMs -= 20 * HOUR_MS;
    expect(leaves.context('a.test')).toBe(late);
    nowMs -= 10 * HOUR_MS;
    expect(leaves.has('a.test')).toBe(false);
    expect(leaves.context('a.test')).not.toBe(late);
  });

  test('gives a leaf as text to who finishes handshakes elsewhere, with its dates', () => {
    const nowMs = Date.now();
    const leaf = createLeafMint({ca, now: () => nowMs}).mint('plain.example');
    const certificate = new X509Certificate(leaf.chainPem);
    expect(certificate.subjectAltName).toBe('DNS:plain.example');
    expect(certificate.checkPrivateKey(createPrivateKey(leaf.keyPem))).toBe(true);
    expect(new Date(certificate.validTo).getTime()).toBe(Math.floor(leaf.notAfterMs / 1000) * 1000);
    expect(leaf.renewAtMs).toBe(leaf.notAfterMs - 24 * HOUR_MS);
  });

  test('signs with a brought RSA CA, the leaf key staying P-256', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'sp-leaf-'));
    try {
      // Their root and intermediate are both RSA, so the leaf's own signature is.
      const key = signingKey(generateKeyPairSync('rsa', {modulusLength: 2048}).privateKey)!;
      const name = distinguishedName({commonName: 'Corp RSA'});
      const publicKey = createPublicKey(key.key).export({type: 'spki', format: 'der'});
      const fields = {
        issuer: name,
        subject: name,
        notBeforeMs: Date.now() - HOUR_MS,
        notAfterMs: Date.now() + 99 * 24 * HOUR_MS,
        publicKey,
      };
      const pem = certificatePem(
        signCertificate({...fields, extensions: [extensions.ca(1), extensions.signsCertificates]}, key),
      );
      writeFileSync(join(dir, 'root.crt'), pem);
      writeFileSync(join(dir, 'intermediate.crt'), pem);
      writeFileSync(join(dir, 'intermediate.key'), key.key.export({type: 'pkcs8', format: 'pem'}), {mode: 0o600});
      const rsa = openCa({dir});
      const seen = await handshake(createLeafSource({ca: rsa}).context('a.test'), {
        servername: 'a.test',
        ca: rsa.rootPem,
      });
      expect(seen.authorized).toBe(true);
      expect(leafOf(seen).publicKey.asymmetricKeyType).toBe('ec');
      expect(leafOf(seen).verify(createPublicKey(key.key))).toBe(true);
    } finally {
      rmSync(dir, {recursive: true});
    }
  });
});
