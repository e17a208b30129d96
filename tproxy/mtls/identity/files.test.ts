import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import {IDENTITY_FILES, openFileIdentity, type FileIdentity} from './files.ts';
import type {Identity} from './identity.ts';
import {heardJournal, rootPemOf, testIdentity, testWorkloadCa} from './testing.ts';

const HOUR_MS = 3_600_000;
const ID = 'spiffe://cluster.local/ns/shop/sa/web';
const ca = testWorkloadCa();
const first = testIdentity(ca, ID);
const second = testIdentity(ca, ID, 2 * HOUR_MS);

let dir: string;
let source: FileIdentity | null;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-identity-'));
  source = null;
});
afterEach(() => {
  source?.stop();
  rmSync(dir, {recursive: true});
});

function write(texts: Partial<Identity>, into = dir): void {
  for (const [field, name] of Object.entries(IDENTITY_FILES)) {
    const text = texts[field as keyof typeof IDENTITY_FILES];
    if (text !== undefined) writeFileSync(join(into, name), text);
  }
}
function open(now: () => number = Date.now): {source: FileIdentity; heard: ReturnType<typeof heardJournal>['heard']} {
  const {journal, heard} = heardJournal();
  source = openFileIdentity({dir, journal, now});
  return {source, heard};
}

describe('an identity in files', () => {
  test('is the same for every workload, and the same object until it changes', () => {
    write(first);
    const {source} = open();
    expect(source.current('a')).toEqual(first);
    expect(source.current('b')).toBe(source.current('a'));
    source.look();
    expect(source.current('a')).toBe(source.current('b'));
  });

  test('is waited for where it is not there yet, and taken when it comes', async () => {
    const {source, heard} = open();
    await source.ready;
    expect(source.current('a')).toBeNull();
    expect(heard.map(({event, message}) => [event, message])).toEqual([
      ['identity.failed', expect.stringMatching(/ca\.crt: ENOENT.*Without an identity/)],
    ]);
    const told = new Promise<void>((resolve) => source.onChange(resolve));
    write(first);
    await told;
    expect(source.current('a')).toEqual(first);
  });

  test('half of a new pair is not used: the last good one is, and it is said until when', () => {
    write(first);
    const {source, heard} = open();
    let told = 0;
    source.onChange(() => told++);
    write({keyPem: second.keyPem});
    source.look();
    source.look();
    expect(source.current('a')).toEqual(first);
    expect(heard.filter(({event}) => event === 'identity.failed').map(({message}) => message)).toEqual([
      expect.stringMatching(/the key is not the certificate's.*last good one is used until \d{4}-/),
    ]);
    write({chainPem: second.chainPem});
    source.look();
    expect([source.current('a'), told]).toEqual([second, 1]);
  });

  test.each<[string, Partial<Identity>, RegExp]>([
    ['a file that is cut short', {chainPem: second.chainPem.slice(0, 300)}, /BadCertificate/],
    ['an empty file', {keyPem: ''}, /key cannot be read/],
    [
      'roots that do not carry it',
      {rootsPem: rootPemOf(testWorkloadCa())},
      /peers would refuse it: .*CA that we believe/,
    ],
    ['no roots, which would be the public ones to OpenSSL', {rootsPem: ''}, /no certificate in it/],
    [
      'one that has ended',
      testIdentity(ca, ID, HOUR_MS, Date.now() - 2 * HOUR_MS),
      /peers would refuse it: .*ended at/,
    ],
    ['a name that is no ServiceAccount', testIdentity(ca, 'spiffe://cluster.local/web'), /no URI name of the form/],
    ['a CA that may not name it', testIdentity(testWorkloadCa('other.example'), ID), /nameConstraints/],
  ])('%s is not used', (_what, texts, why) => {
    write(first);
    const {source, heard} = open();
    write(texts);
    source.look();
    expect(source.current('a')).toEqual(first);
    expect(heard.at(-1)).toMatchObject({level: 'error', event: 'identity.failed'});
    expect(heard.at(-1)!.message).toMatch(why);
    expect(heard.at(-1)!.message).not.toContain('PRIVATE KEY');
  });

  test('a Secret that is swapped as a whole is seen', async () => {
    const versions = [first, second].map((texts, i) => {
      const version = join(dir, `..version-${i}`);
      mkdirSync(version);
      write(texts, version);
      return version;
    });
    const swap = (to: string): void => {
      symlinkSync(to, join(dir, '..new'));
      renameSync(join(dir, '..new'), join(dir, '..data'));
    };
    swap(versions[0]!);
    for (const name of Object.values(IDENTITY_FILES)) symlinkSync(join('..data', name), join(dir, name));
    const {source} = open();
    await source.ready;
    expect(source.current('a')).toEqual(first);
    const told = new Promise<void>((resolve) => source.onChange(resolve));
    swap(versions[1]!);
    await told;
    expect(source.current('a')).toEqual(second);
  });

  test('a file that goes away takes nothing back', () => {
    write(first);
    const {source} = open();
    copyFileSync(join(dir, 'tls.key'), join(dir, 'kept'));
    unlinkSync(join(dir, 'tls.key'));
    source.look();
    expect(source.current('a')).toEqual(first);
  });

  test('the last good one is shown until its end and not beyond', async () => {
    write(first);
    let nowMs = Date.now();
    const {source} = open(() => nowMs);
    await source.ready;
    nowMs = first.notAfterMs - 1;
    expect(source.current('a')).toEqual(first);
    nowMs = first.notAfterMs;
    expect(source.current('a')).toBeNull();
  });

  test('its end is told and said, without anybody asking', async () => {
    // Times in certificates are whole seconds: this one has between one and two left.
    const short = testIdentity(ca, ID, 2_000);
    write(short);
    const {source, heard} = open();
    expect(source.current('a')).toEqual(short);
    await new Promise<void>((resolve) => source.onChange(resolve));
    expect(source.current('a')).toBeNull();
    expect(heard.at(-1)).toMatchObject({level: 'error', event: 'identity.ended'});
    expect(heard.at(-1)!.message).toContain(ID);
  });

  test('who does not want to be told any more is not, and what was stopped shows nothing', () => {
    write(first);
    const {source} = open();
    let told = 0;
    source.onChange(() => told++)();
    write(second);
    source.look();
    source.stop();
    expect([told, source.current('a')]).toEqual([0, null]);
  });
});
