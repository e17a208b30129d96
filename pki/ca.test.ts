import {execFile} from 'node:child_process';
import {X509Certificate, createPublicKey, generateKeyPairSync} from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {SallyportError} from '../runtime/errors.ts';
import {ephemeralCa, openCa} from './ca.ts';
import {
  certificatePem,
  distinguishedName,
  extensions,
  keyIdentifier,
  signCertificate,
  signingKey,
} from './certificate.ts';
import type {SigningKey} from './certificate.ts';

const DAY_MS = 86_400_000;
const NOW = Date.parse('2026-11-21T12:00:00Z');
const now = () => NOW;
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sp-ca-'));
});
afterEach(() => rmSync(dir, {recursive: true, force: true}));

const put = (name: string, content: string, mode = name.endsWith('.key') ? 0o600 : 0o644) => {
  writeFileSync(join(dir, name), content);
  chmodSync(join(dir, name), mode);
};
const read = (name: string) => readFileSync(join(dir, name), 'utf8');
const ecKey = () => signingKey(generateKeyPairSync('ec', {namedCurve: 'P-256'}).privateKey)!;
const rsaKey = (modulusLength = 2048) => generateKeyPairSync('rsa', {modulusLength}).privateKey;
const pemOf = (key: SigningKey) => key.key.export({type: 'pkcs8', format: 'pem'}) as string;

interface Made {
  readonly pem: string;
  readonly key: SigningKey;
  readonly subject: Buffer;
}
function makeCa(
  options: {key?: SigningKey; issuer?: Made; name?: string; ext?: Buffer[]; fromMs?: number; toMs?: number} = {},
): Made {
  const key = options.key ?? ecKey();
  const subject = distinguishedName({commonName: options.name ?? 'Corp CA'});
  const publicKey = createPublicKey(key.key).export({type: 'spki', format: 'der'});
  const der = signCertificate(
    {
      issuer: options.issuer?.subject ?? subject,
      subject,
      notBeforeMs: options.fromMs ?? NOW - DAY_MS,
      notAfterMs: options.toMs ?? NOW + 3000 * DAY_MS,
      publicKey,
      extensions: options.ext ?? [
        extensions.ca(3),
        extensions.signsCertificates,
        extensions.subjectKeyIdentifier(keyIdentifier(publicKey)),
      ],
    },
    options.issuer?.key ?? key,
  );
  return {pem: certificatePem(der), key, subject};
}
function bring(ca: Made): void {
  put('ca.crt', ca.pem);
  put('ca.key', pemOf(ca.key));
}

describe('a CA is made at first use', () => {
  test('root and intermediate, keys readable by their owner alone', () => {
    const inner = join(dir, 'new', 'ca');
    const ca = openCa({dir: inner, now});
    expect(ca.origin).toBe('made');
    expect(statSync(inner).mode & 0o777).toBe(0o700);
    for (const key of ['root.key', 'intermediate.key']) expect(statSync(join(inner, key)).mode & 0o777).toBe(0o600);
    expect(readdirSync(inner).sort()).toEqual(['intermediate.crt', 'intermediate.key', 'root.crt', 'root.key']);
  });

  test('with dates, constraints and identifiers as RFC 5280 asks, and no address to call', () => {
    openCa({dir, now});
    const root = new X509Certificate(read('root.crt'));
    const intermediate = new X509Certificate(read('intermediate.crt'));
    expect(root.verify(root.publicKey)).toBe(true);
    expect(intermediate.checkIssued(root) && intermediate.verify(root.publicKey)).toBe(true);
    expect([root.ca, intermediate.ca]).toEqual([true, true]);
    // BasicConstraints {cA TRUE, pathLenConstraint 0}: what is signed with it is a leaf and no further CA.
    expect(intermediate.raw.includes(Buffer.from('30060101ff020100', 'hex'))).toBe(true);
    expect(root.raw.includes(Buffer.from('30060101ff020101', 'hex'))).toBe(true);
    expect(root.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(Date.parse(root.validFrom)).toBeLessThanOrEqual(NOW - 3_600_000);
    expect(Date.parse(root.validTo)).toBe(NOW + 3650 * DAY_MS);
    expect(Date.parse(intermediate.validTo)).toBe(NOW + 365 * DAY_MS);
    expect([root.infoAccess, intermediate.infoAccess]).toEqual([undefined, undefined]);
    expect(intermediate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    for (const serial of [root.serialNumber, intermediate.serialNumber]) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  test('and read again at the next', () => {
    const first = openCa({dir, now});
    const second = openCa({dir, now});
    expect(second.rootPem).toBe(first.rootPem);
    expect(second.issuer().chainPem).toBe(first.issuer().chainPem);
  });

  test('what a crash left out is made up', () => {
    const first = openCa({dir, now});
    rmSync(join(dir, 'intermediate.crt'));
    const second = openCa({dir, now});
    expect(second.rootPem).toBe(first.rootPem);
    expect(second.issuer().certificate.keyIdentifier).toEqual(first.issuer().certificate.keyIdentifier);
  });

  test('once, when several processes start at the same time', async () => {
    const script = `import {openCa} from ${JSON.stringify(new URL('./ca.ts', import.meta.url).href)};
      const ca = openCa({dir: process.argv[1]});
      console.log(JSON.stringify([ca.rootPem, ca.issuer().chainPem]));`;
    const run = async () =>
      (await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, dir])).stdout;
    const outputs = await Promise.all([run(), run(), run(), run()]);
    expect(new Set(outputs).size).toBe(1);
    expect(readdirSync(dir).sort()).toEqual(['intermediate.crt', 'intermediate.key', 'root.crt', 'root.key']);
  });

  test('the intermediate is renewed near its end, under the same key, on disk and in memory', () => {
    let nowMs = NOW;
    const ca = openCa({dir, now: () => nowMs});
    const before = ca.issuer();
    nowMs += 304 * DAY_MS;
    expect(ca.issuer()).toBe(before);
    nowMs += 2 * DAY_MS;
    const after = ca.issuer();
    expect(after.notAfterMs).toBe(nowMs + 365 * DAY_MS);
    expect(after.certificate.keyIdentifier).toEqual(before.certificate.keyIdentifier);
    expect(read('intermediate.crt')).toBe(after.certificate.pem);
  });

  test('an expired intermediate of ours is renewed at start', () => {
    openCa({dir, now});
    const ca = openCa({dir, now: () => NOW + 500 * DAY_MS});
    expect(ca.issuer().notAfterMs).toBe(NOW + 865 * DAY_MS);
  });

  test('an intermediate never outlives its root, and ends with it by an error', () => {
    let nowMs = NOW + 3400 * DAY_MS;
    openCa({dir, now});
    const ca = openCa({dir, now: () => nowMs});
    expect(ca.issuer().notAfterMs).toBe(NOW + 3650 * DAY_MS);
    nowMs = NOW + 3651 * DAY_MS;
    expect(() => ca.issuer()).toThrow(/root.crt expired/);
  });

  test('in memory only, for capture in the pod', () => {
    const ca = ephemeralCa(now);
    expect(new X509Certificate(ca.issuer().chainPem).verify(new X509Certificate(ca.rootPem).publicKey)).toBe(true);
  });
});

describe('a CA is brought', () => {
  test('ca.crt and ca.key: an intermediate is made under it', () => {
    bring(makeCa());
    const ca = openCa({dir, now});
    expect(ca.origin).toBe('brought');
    expect(ca.rootPem).toBe(read('ca.crt'));
    expect(new X509Certificate(ca.issuer().chainPem).issuer).toBe('CN=Corp CA');
    expect(existsSync(join(dir, 'root.key'))).toBe(false);
  });

  test('of RSA', () => {
    const key = signingKey(rsaKey())!;
    bring(makeCa({key}));
    const intermediate = new X509Certificate(openCa({dir, now}).issuer().chainPem);
    expect(intermediate.verify(new X509Certificate(read('ca.crt')).publicKey)).toBe(true);
    expect(intermediate.publicKey.asymmetricKeyType).toBe('ec');
  });

  test.each(['P-384', 'P-521'])('of %s', (namedCurve) => {
    bring(makeCa({key: signingKey(generateKeyPairSync('ec', {namedCurve}).privateKey)!}));
    const intermediate = new X509Certificate(openCa({dir, now}).issuer().chainPem);
    expect(intermediate.verify(new X509Certificate(read('ca.crt')).publicKey)).toBe(true);
  });

  test('an issuing CA with its chain: the chain is sent, the root is trusted', () => {
    const root = makeCa({name: 'Corp root'});
    const issuing = makeCa({name: 'Corp issuing', issuer: root});
    put('ca.crt', issuing.pem + root.pem);
    put('ca.key', pemOf(issuing.key));
    const ca = openCa({dir, now});
    expect(ca.rootPem).toBe(root.pem);
    expect(ca.issuer().chainPem.match(/BEGIN/g)).toHaveLength(2);
    expect(ca.issuer().chainPem.endsWith(issuing.pem)).toBe(true);
  });

  test('root.crt with intermediate.crt and its key: leaves are signed with it directly', () => {
    const root = makeCa({name: 'Corp root'});
    const intermediate = makeCa({
      name: 'Corp issuing',
      issuer: root,
      ext: [extensions.ca(0), extensions.signsCertificates],
    });
    put('root.crt', root.pem);
    put('intermediate.crt', intermediate.pem);
    put('intermediate.key', pemOf(intermediate.key));
    const ca = openCa({dir, now});
    expect([ca.origin, ca.rootPem, ca.issuer().chainPem]).toEqual(['brought', root.pem, intermediate.pem]);
    expect(readdirSync(dir).sort()).toEqual(['intermediate.crt', 'intermediate.key', 'root.crt']);
  });
});

describe('a CA is refused, naming the file and the fix', () => {
  const cases: [string, () => void, string, RegExp][] = [
    [
      'whose key is another one',
      () => (put('ca.crt', makeCa().pem), put('ca.key', pemOf(ecKey()))),
      'CaKeyMismatch',
      /ca\.key is not the key of .*ca\.crt/,
    ],
    ['that is a server certificate', () => bring(makeCa({ext: [extensions.notCa]})), 'CaNotCa', /ca\.crt is no CA/],
    [
      'that may not sign certificates',
      () => bring(makeCa({ext: [extensions.ca(3), extensions.signsHandshakes]})),
      'CaNotCa',
      /keyCertSign/,
    ],
    ['that expired', () => bring(makeCa({toMs: NOW - 1000})), 'CaExpired', /ca\.crt expired at 2026-11-21/],
    [
      'that is not valid yet',
      () => bring(makeCa({fromMs: NOW + DAY_MS})),
      'CaNotYetValid',
      /not valid before 2026-11-22/,
    ],
    [
      'that allows no CA beneath it',
      () => bring(makeCa({ext: [extensions.ca(0), extensions.signsCertificates]})),
      'CaPathLength',
      /allows 0 further CAs.*Name it intermediate\.crt/,
    ],
    [
      'whose key file the group can read',
      () => (bring(makeCa()), chmodSync(join(dir, 'ca.key'), 0o640)),
      'CaPermissions',
      /ca\.key can be read by others.*chmod 600/,
    ],
    [
      'whose key file the world can read',
      () => (bring(makeCa()), chmodSync(join(dir, 'ca.key'), 0o604)),
      'CaPermissions',
      /chmod 600/,
    ],
    ['whose directory others can write', () => chmodSync(dir, 0o777), 'CaPermissions', /chmod go-w/],
    [
      'whose certificate is no PEM',
      () => (put('ca.crt', 'hello'), put('ca.key', pemOf(ecKey()))),
      'CaUnparsable',
      /ca\.crt holds no PEM/,
    ],
    [
      'whose certificate is garbled',
      () => (put('ca.crt', makeCa().pem.replace(/MII./, 'AAAA')), put('ca.key', pemOf(ecKey()))),
      'CaUnparsable',
      /ca\.crt holds a certificate that cannot be read/,
    ],
    [
      'whose key is no PEM',
      () => (put('ca.crt', makeCa().pem), put('ca.key', 'secret-text')),
      'CaUnparsable',
      /ca\.key holds no private key/,
    ],
    [
      'whose key is encrypted',
      () => (
        put('ca.crt', makeCa().pem),
        put(
          'ca.key',
          ecKey().key.export({type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x'}) as string,
        )
      ),
      'CaUnparsable',
      /ca\.key is encrypted/,
    ],
    [
      'whose key is of a kind clients refuse',
      () => (
        put('ca.crt', makeCa().pem),
        put('ca.key', generateKeyPairSync('ed25519').privateKey.export({type: 'pkcs8', format: 'pem'}) as string)
      ),
      'CaUnsupportedKey',
      /ed25519/,
    ],
    [
      'whose RSA key is short',
      () => (put('ca.crt', makeCa().pem), put('ca.key', rsaKey(1024).export({type: 'pkcs8', format: 'pem'}) as string)),
      'CaUnsupportedKey',
      /2048/,
    ],
    ['whose key is missing', () => put('ca.crt', makeCa().pem), 'CaMissingFile', /ca\.key/],
    ['whose certificate is missing', () => put('ca.key', pemOf(ecKey())), 'CaMissingFile', /ca\.crt is missing/],
    ['whose root is missing', () => put('intermediate.key', pemOf(ecKey())), 'CaMissingFile', /root\.crt/],
    ['that is there twice', () => (openCa({dir, now}), bring(makeCa())), 'CaAmbiguous', /both ca\.key and root\.key/],
    [
      'that is an issuing CA without its root',
      () => bring(makeCa({issuer: makeCa({name: 'root'})})),
      'CaNotRoot',
      /Append the certificates/,
    ],
    [
      'whose chain is of another root',
      () => {
        const issuing = makeCa({issuer: makeCa({name: 'Corp root'})});
        put('ca.crt', issuing.pem + makeCa({name: 'Corp root'}).pem);
        put('ca.key', pemOf(issuing.key));
      },
      'CaNotIssued',
      /was not issued by/,
    ],
    [
      'beside an intermediate of another root',
      () => {
        openCa({dir, now});
        rmSync(join(dir, 'root.key'));
        rmSync(join(dir, 'root.crt'));
        bring(makeCa());
      },
      'CaNotIssued',
      /move intermediate\.crt and intermediate\.key away/,
    ],
    [
      'that is a file',
      () => {
        rmSync(dir, {recursive: true});
        writeFileSync(dir, '');
      },
      'CaUnwritable',
      /--ca-dir/,
    ],
    [
      'whose certificate is a directory',
      () => (mkdirSync(join(dir, 'ca.crt')), put('ca.key', pemOf(ecKey()))),
      'CaUnreadable',
      /ca\.crt cannot be read/,
    ],
  ];
  test.each(cases)('%s', (_name, prepare, code, message) => {
    prepare();
    let error: unknown;
    try {
      openCa({dir, now});
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(SallyportError);
    expect((error as SallyportError).code).toBe(code);
    expect((error as SallyportError).describe()).toMatch(message);
    expect((error as SallyportError).describe()).not.toContain('secret-text');
  });
});
