import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterEach, beforeEach, expect, test} from '@jest/globals';
import {formatFinding} from '../policy/index.ts';
import {PolicyStore, requireGood} from './policy-store.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-store-'));
});
afterEach(() => rmSync(dir, {recursive: true}));

const policy = (name: string, host: string): string =>
  `apiVersion: sallyport.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: ${name}, namespace: default}\nspec: {podSelector: {}, rules: [{name: r, to: {hosts: [${host}]}}]}\n`;
const write = (file: string, ...documents: string[]): void => writeFileSync(join(dir, file), documents.join('---\n'));
const hosts = (store: PolicyStore): string[] =>
  store
    .load()
    .documents.map((d) => (d.kind === 'UpstreamProxy' ? '' : `${d.name}:${d.rules[0]!.to.hosts[0]}`))
    .sort();
const store = (...paths: string[]): PolicyStore =>
  new PolicyStore(paths.length === 0 ? [dir] : paths.map((path) => join(dir, path)), 'cluster.local');

test('a bad document keeps its good predecessor and touches no other', () => {
  write('a.yaml', policy('a', 'a.test'), policy('b', 'b.test'));
  const s = store();
  expect(hosts(s)).toEqual(['a:a.test', 'b:b.test']);
  write('a.yaml', policy('a', 'new.test'), policy('b', 'b?.test'));
  expect(hosts(s)).toEqual(['a:new.test', 'b:b.test']);
});
test('a file that is no YAML any more keeps all that it had', () => {
  write('a.yaml', policy('a', 'a.test'));
  write('b.yaml', policy('b', 'b.test'));
  const s = store();
  hosts(s);
  write('a.yaml', '{{{ no yaml');
  write('b.yaml', policy('b', 'new.test'));
  expect(hosts(s)).toEqual(['a:a.test', 'b:new.test']);
});
test('a file that is gone from a directory removes its documents, a document gone from a file too', () => {
  write('a.yaml', policy('a', 'a.test'), policy('b', 'b.test'));
  write('c.yaml', policy('c', 'c.test'));
  const s = store();
  hosts(s);
  write('a.yaml', policy('a', 'a.test'));
  rmSync(join(dir, 'c.yaml'));
  expect(hosts(s)).toEqual(['a:a.test']);
});
test('a PATH that is gone is a failed load, and its documents stay', () => {
  write('a.yaml', policy('a', 'a.test'));
  const s = store('a.yaml');
  hosts(s);
  rmSync(join(dir, 'a.yaml'));
  const load = s.load();
  expect(load.documents.map((d) => d.name)).toEqual(['a']);
  expect(load.unreadable.map(({path}) => path)).toEqual([join(dir, 'a.yaml')]);
});
test('the same object under two PATHs is an error, and the first stays in force', () => {
  write('a.yaml', policy('a', 'first.test'));
  write('b.yaml', policy('a', 'second.test'));
  const s = store('a.yaml', 'b.yaml');
  const load = s.load();
  expect(load.documents).toHaveLength(1);
  expect(hosts(s)).toEqual(['a:first.test']);
  expect(load.findings.filter(({severity}) => severity === 'error')).toHaveLength(1);
});
test('at start a bad document is no start', () => {
  write('a.yaml', policy('a', 'a?.test'));
  expect(() => requireGood(store().load(), formatFinding)).toThrow(
    expect.objectContaining({code: 'PolicyInvalid', message: expect.stringContaining('a.yaml:')}),
  );
});
