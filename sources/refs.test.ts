import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {afterEach, beforeEach, describe, expect, test} from '@jest/globals';
import type {UpstreamProxyDocument} from '../policy/index.ts';
import {FileRefs, resolveParents} from './refs.ts';

let root: string;
let dir: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sallyport-refs-'));
  dir = join(root, 'refs');
});
afterEach(() => rmSync(root, {recursive: true}));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(dir, path)), {recursive: true});
  writeFileSync(join(dir, path), text);
}

const proxy = (parts: Partial<UpstreamProxyDocument>): UpstreamProxyDocument => ({
  kind: 'UpstreamProxy',
  name: 'corp',
  endpoints: [{tls: true, host: 'proxy.test', port: 3128}],
  auth: null,
  caBundle: null,
  hosts: [],
  except: [],
  resolve: 'Both',
  at: {file: 'corp.yaml', line: 1, column: 1},
  ...parts,
});
const auth = {kind: 'secret', namespace: 'egress', name: 'corp', key: null} as const;

test('credentials and roots are found by namespace, name and key, without the line end of an editor', () => {
  write('secrets/egress/corp/username', 'me\n');
  write('secrets/egress/corp/password', 'p w\r\n');
  write('configmaps/egress/roots/ca.crt', 'PEM\n');
  const caBundle = {kind: 'configMap', namespace: 'egress', name: 'roots', key: null} as const;
  const {parents, missing} = resolveParents([proxy({auth, caBundle})], new FileRefs(dir));
  expect(parents).toMatchObject([{name: 'corp', credentials: {username: 'me', password: 'p w'}, caBundle: 'PEM\n'}]);
  expect(missing).toEqual([]);
});

describe('a parent is left out and named, never used without what it asks for,', () => {
  test.each([
    ['where a secret is not there', {auth}],
    ['where the roots are not there', {caBundle: {...auth, kind: 'configMap', key: 'ca.crt'} as const}],
  ])('%s', (_where, parts) => {
    write('secrets/egress/corp/username', 'me');
    const {parents, missing} = resolveParents([proxy(parts), proxy({name: 'plain'})], new FileRefs(dir));
    expect(parents.map(({name}) => name)).toEqual(['plain']);
    expect(missing.map(({proxy}) => proxy)).toEqual(['corp']);
  });

  test('where there is no --refs', () => {
    expect(resolveParents([proxy({auth})], new FileRefs(null))).toMatchObject({
      parents: [],
      missing: [{message: expect.stringContaining('--refs')}],
    });
  });
});

test.each([
  ['..', 'corp', 'ca.crt'],
  ['egress', '..', 'ca.crt'],
  ['egress', 'corp', '../../../../outside'],
  ['egress', 'corp', '..'],
])('a name that is a path (%s, %s, %s) leads nowhere', (namespace, name, key) => {
  writeFileSync(join(root, 'outside'), 'not ours');
  write('configmaps/egress/corp/ca.crt', 'PEM');
  write('configmaps/corp/ca.crt', 'PEM');
  write('configmaps/ca.crt', 'PEM');
  const {parents, missing} = resolveParents(
    [proxy({caBundle: {kind: 'configMap', namespace, name, key}})],
    new FileRefs(dir),
  );
  expect(parents).toEqual([]);
  expect(missing).toMatchObject([{message: expect.stringContaining('no object name')}]);
});
