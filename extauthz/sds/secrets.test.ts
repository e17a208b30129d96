import {X509Certificate} from 'node:crypto';
import {describe, expect, test} from '@jest/globals';
import {createLeafMint, ephemeralCa} from '../../pki/index.ts';
import type {PolicySet, Workload} from '../../policy/index.ts';
import {APP, policies} from '../../policy/testing/asking.ts';
import {MINTS, Secrets, type SecretSources} from './secrets.ts';

const ca = ephemeralCa();
const HOUR_MS = 3_600_000;
const ALLOWED = policies('  - {name: seen, to: {hosts: ["*.example"]}}');
const UNREAD = policies('  - {name: unread, to: {hosts: ["*.example"], schemes: [tls]}}');

function secretsOf(part: Partial<SecretSources> = {}): Secrets {
  return new Secrets({
    policies: () => ALLOWED,
    workloads: () => [APP],
    leaves: createLeafMint({ca}),
    now: Date.now,
    onMintFailed: (name, error) => {
      throw new Error(`${name}: ${String(error)}`);
    },
    onMintLimited: () => {
      throw new Error('limited');
    },
    ...part,
  });
}

describe('the secret of a name', () => {
  test('is a leaf for the name as it is compared, with its chain and key, for an hour', () => {
    const {outlook, secret} = secretsOf().get('A.example.');
    const certificate = new X509Certificate(secret!.chainPem);
    expect([outlook, certificate.subjectAltName, secret!.ttlMs]).toEqual(['inspected', 'DNS:a.example', HOUR_MS]);
    expect(secret!.keyPem).toContain('PRIVATE KEY');
  });

  test('is minted once, and its version is that of the certificate', () => {
    const secrets = secretsOf();
    const versions = ['a.example', 'A.EXAMPLE', 'a.example.'].map((name) => secrets.get(name).secret!.version);
    expect(new Set(versions).size).toBe(1);
    expect(secrets.get('b.example').secret!.version).not.toBe(versions[0]);
    expect(secrets.minted).toBe(2);
  });

  test.each(['_no_sni_', '*', '10.0.0.1', '', 'a b.example'])('is not made for %j', (sni) => {
    const secrets = secretsOf();
    expect(secrets.get(sni).secret).toBeNull();
    expect(secrets.minted).toBe(0);
  });

  test('is not made for what a tls rule carries unread', () => {
    expect(secretsOf({policies: () => UNREAD}).get('a.example')).toEqual({outlook: 'passed', secret: null});
  });

  test('changes before the leaf expires, and lives no longer than it', () => {
    let nowMs = Date.now();
    const leaves = createLeafMint({ca, now: () => nowMs});
    const secrets = secretsOf({now: () => nowMs, leaves});
    const first = secrets.get('a.example').secret!;
    nowMs += 5 * 24 * HOUR_MS;
    expect(secrets.get('a.example').secret!.version).toBe(first.version);
    nowMs += 2 * 24 * HOUR_MS;
    expect(secrets.get('a.example').secret!.version).not.toBe(first.version);
  });

  test('is handed out for no longer than the CA lives', () => {
    const start = Date.now();
    let nowMs = start;
    const notAfterMs = start + HOUR_MS / 2;
    const real = createLeafMint({ca}).mint('a.example');
    const leaves = {mint: () => ({...real, notAfterMs, renewAtMs: notAfterMs - 24 * HOUR_MS})};
    const secrets = secretsOf({now: () => nowMs, leaves});
    expect(secrets.get('a.example').secret!.ttlMs).toBe(HOUR_MS / 2);
    nowMs = notAfterMs;
    expect(secrets.get('a.example').secret).toBeNull();
  });

  test('is none where it cannot be minted, and that is told', () => {
    const failed: string[] = [];
    const secrets = secretsOf({
      leaves: {
        mint: () => {
          throw new Error('the CA has expired');
        },
      },
      onMintFailed: (name, error) => failed.push(`${name}: ${(error as Error).message}`),
    });
    expect(secrets.get('a.example').secret).toBeNull();
    expect(failed).toEqual(['a.example: the CA has expired']);
  });

  test('is none for the moment where too many new names come, which costs those in use nothing', () => {
    let nowMs = Date.now();
    const limited: number[] = [];
    const secrets = secretsOf({now: () => nowMs, onMintLimited: (perSecond) => limited.push(perSecond)});
    const used = secrets.get('used.example').secret!;
    for (let i = 0; i < MINTS.refused.burst; i++) expect(secrets.get(`${i}.invented`).secret).not.toBeNull();
    expect([secrets.get('one.invented').secret, secrets.get('two.invented').secret]).toEqual([null, null]);
    expect(limited).toEqual([MINTS.refused.perSecond]);
    expect(secrets.get('0.invented').secret).not.toBeNull();
    expect([secrets.get('used.example').secret!.version, secrets.get('new.example').outlook]).toEqual([
      used.version,
      'inspected',
    ]);
    nowMs += 1000;
    expect(secrets.get('one.invented').secret).not.toBeNull();
  });

  test('that is due for renewal stays what it was while none can be minted', () => {
    let nowMs = Date.now();
    let broken = false;
    const leaves = createLeafMint({ca, now: () => nowMs});
    const secrets = secretsOf({
      now: () => nowMs,
      leaves: {
        mint(name) {
          if (broken) throw new Error('no');
          return leaves.mint(name);
        },
      },
      onMintFailed: () => undefined,
    });
    const {version} = secrets.get('a.example').secret!;
    broken = true;
    nowMs += 6.5 * 24 * HOUR_MS;
    expect(secrets.get('a.example').secret!.version).toBe(version);
    nowMs += 24 * HOUR_MS;
    expect(secrets.get('a.example').secret).toBeNull();
  });

  test('is judged again when policies or workloads change, and not before', () => {
    let current: PolicySet = ALLOWED;
    let workloads: readonly Workload[] = [APP];
    let read = 0;
    const secrets = secretsOf({policies: () => current, workloads: () => (read++, workloads)});
    const [first] = [secrets.get('a.example'), secrets.get('b.example')];
    expect([first.outlook, read]).toEqual(['inspected', 1]);
    current = UNREAD;
    expect(secrets.get('a.example').outlook).toBe('inspected');
    secrets.forgetJudgements();
    expect(secrets.get('a.example')).toEqual({outlook: 'passed', secret: null});
    workloads = [];
    secrets.forgetJudgements();
    expect(secrets.get('a.example').outlook).toBe('unseen');
  });

  test('is minted anew after the CA changed', () => {
    const secrets = secretsOf();
    const {version} = secrets.get('a.example').secret!;
    secrets.forgetLeaves();
    expect(secrets.get('a.example').secret!.version).not.toBe(version);
  });

  test('looks at a pod apart from its siblings where a rule may', () => {
    const named = policies(`  - {name: r, to: {hosts: [a.example], schemes: [tls]}, when: 'source.name == "app-2"'}`);
    const sibling = {...APP, name: 'app-2', uid: 'uid-2'};
    expect(secretsOf({policies: () => named, workloads: () => [APP, sibling]}).get('a.example').outlook).toBe('passed');
  });
});
