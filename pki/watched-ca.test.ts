import {X509Certificate} from 'node:crypto';
import {cpSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import type {SallyportError} from '../runtime/errors.ts';
import {NODE_CA_FILE, openCa} from './ca.ts';
import {parseCaCertificates} from './ca-certificate.ts';
import {certificatePem} from './certificate.ts';
import {makeIntermediate, makeRoot, newKey, publicKeyOf, type Pair} from './issue.ts';
import {createLeafSource} from './leaf.ts';
import {watchCa, type WatchedCa} from './watched-ca.ts';

const HOUR_MS = 3_600_000;
let dir: string;
let clock: number;
let ca: WatchedCa | null;
let replaced: number;
let failures: SallyportError[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-watched-'));
  clock = Date.now();
  ca = null;
  replaced = 0;
  failures = [];
});
afterEach(() => {
  ca?.close();
  rmSync(dir, {recursive: true});
});

const watched = (awaited: boolean): WatchedCa =>
  (ca = watchCa({
    ...{dir, awaited, now: () => clock},
    onReplaced: () => replaced++,
    onFailed: (error) => failures.push(error),
  }));

function root(): Pair {
  const key = newKey();
  return {key, chain: parseCaCertificates(certificatePem(makeRoot(key, clock, 100 * HOUR_MS)), 'the root')};
}

/** What a controller signed for a node, as its agent writes it. */
function nodeCa(under = root(), lifeMs = 10 * HOUR_MS): string {
  const key = newKey();
  const fields = {publicKey: publicKeyOf(key.key), purpose: 'node-1', lifeMs};
  const chain = makeIntermediate(under, fields, clock, 'the intermediate');
  const keyPem = key.key.export({type: 'pkcs8', format: 'pem'}) as string;
  return keyPem + chain.map(({pem}) => pem).join('');
}
const put = (text: string): void => writeFileSync(join(dir, NODE_CA_FILE), text, {mode: 0o600});

describe('one that a cluster brings', () => {
  test('is waited for: until it is there nothing is signed, and nothing is made in its place', () => {
    const waiting = watched(true);
    expect(waiting.trouble()).toMatchObject({code: 'CaAwaited'});
    expect(() => waiting.issuer()).toThrow(/no node-ca\.pem yet/);
    put(nodeCa());
    waiting.look();
    expect([waiting.trouble(), replaced]).toEqual([null, 1]);
    expect(waiting.issuer().certificate.x509.subject).toContain('Sallyport node-1 CA');
    expect(new X509Certificate(waiting.rootPem).ca).toBe(true);
  });

  test('signs no more when it has ended, and again when the next has come', () => {
    put(nodeCa());
    const signing = watched(true);
    clock += 11 * HOUR_MS;
    expect(signing.trouble()).toMatchObject({code: 'CaExpired'});
    put(nodeCa());
    signing.look();
    expect(signing.trouble()).toBeNull();
  });

  test('that has ended already when we start is said, and does not keep us from starting', () => {
    put(nodeCa());
    clock += 11 * HOUR_MS;
    expect(watched(true).trouble()).toMatchObject({code: 'CaExpired'});
  });

  test('is left aside where the operator has put a CA of his own', () => {
    put(nodeCa());
    const {rootPem} = openCa({dir});
    expect(watched(true).rootPem).toBe(rootPem);
  });

  test.each<[string, () => string, RegExp]>([
    ['is cut off', () => nodeCa().slice(0, 900), /Ca(Unparsable|NotRoot)/],
    [
      'has the key of another',
      () =>
        nodeCa().replace(
          /-----BEGIN PRIVATE[^]*?END PRIVATE KEY-----/,
          /-----BEGIN P[^]*?END PRIVATE KEY-----/.exec(nodeCa())![0],
        ),
      /CaKeyMismatch/,
    ],
    ['has no key', () => nodeCa().replace(/-----BEGIN PRIVATE[^]*?END PRIVATE KEY-----\n/, ''), /CaUnparsable/],
  ])('that %s leaves the last good one signing, and is told once', (_, text, code) => {
    put(nodeCa());
    const signing = watched(true);
    const {chainPem} = signing.issuer();
    put(text());
    signing.look();
    signing.look();
    expect(signing.issuer().chainPem).toBe(chainPem);
    expect(failures.map((failure) => failure.code)).toEqual([expect.stringMatching(code)]);
    expect(replaced).toBe(0);
  });
});

describe('one of files', () => {
  test('that is replaced by another signs from then on', () => {
    const signing = watched(false);
    const before = signing.rootPem;
    const other = mkdtempSync(join(tmpdir(), 'sallyport-other-'));
    openCa({dir: other});
    cpSync(other, dir, {recursive: true});
    rmSync(other, {recursive: true});
    signing.look();
    expect(replaced).toBe(1);
    expect(signing.rootPem).not.toBe(before);
  });

  test('that is just being replaced is not made up for: what is missing comes', () => {
    const signing = watched(false);
    const before = signing.rootPem;
    rmSync(join(dir, 'root.crt'));
    signing.look();
    expect([signing.rootPem, replaced]).toEqual([before, 0]);
    expect(failures).toMatchObject([{code: 'CaMissingFile'}]);
  });

  test('that is bad at the start is refused there', () => {
    writeFileSync(join(dir, 'ca.key'), 'no key', {mode: 0o600});
    writeFileSync(join(dir, 'ca.crt'), 'no certificate');
    expect(() => watched(false)).toThrow(expect.objectContaining({code: 'CaUnparsable'}));
  });
});

test('leaves of the one before are not shown any more', () => {
  put(nodeCa());
  const signing = watched(true);
  const leaves = createLeafSource({ca: signing, now: () => clock});
  const before = leaves.context('a.test');
  expect([leaves.context('a.test') === before, leaves.has('a.test')]).toEqual([true, true]);
  put(nodeCa());
  signing.look();
  expect(leaves.has('a.test')).toBe(false);
  expect(leaves.context('a.test')).not.toBe(before);
  expect(leaves.stats()).toMatchObject({minted: 2, cached: 1});
});

test('a leaf whose issuer ends within hours is kept for most of what it has, not minted for each connection', () => {
  put(nodeCa(root(), 3 * HOUR_MS));
  const leaves = createLeafSource({ca: watched(true), now: () => clock});
  leaves.context('a.test');
  clock += 1.9 * HOUR_MS;
  expect(leaves.has('a.test')).toBe(true);
  clock += 0.2 * HOUR_MS;
  expect(leaves.has('a.test')).toBe(false);
});
