import {describe, expect, test} from '@jest/globals';
import {readDocument, type Kind} from '../policy/index.ts';
import type {ClusterDocument} from './documents.ts';
import {LastGood} from './last-good.ts';

const rules = (host: string) => [{name: 'r', to: {hosts: [host]}}];
const SPECS: Readonly<Record<Kind, (host: string) => object>> = {
  EgressPolicy: (host) => ({podSelector: {}, rules: rules(host)}),
  ClusterEgressPolicy: (host) => ({podSelector: {}, rules: rules(host)}),
  UpstreamProxy: (host) => ({endpoints: [{url: `http://proxy.test:3128`}], hosts: [host]}),
};
/** Of the host that the API server takes and we do not: an IPv4 literal in hexadecimal. */
const BAD = '0x7f000001';

function object(kind: Kind, key: string, host: string, uid = 'u1'): [Kind, string, ClusterDocument] {
  const [name, namespace] = key.split('/').reverse();
  const metadata = namespace === undefined ? {name} : {name, namespace};
  const value = {apiVersion: 'sallyport.dev/v1alpha1', kind, metadata, spec: SPECS[kind](host)};
  return [kind, key, {...readDocument(value), uid, generation: 1}];
}
const hosts = (kept: LastGood): unknown[] =>
  kept.documents().map((document) => (document.kind === 'UpstreamProxy' ? document.name : document.rules[0]!.to.hosts));

const POLICY = ['EgressPolicy', 'shop/p'] as const;

describe('of an object', () => {
  test('the good version is in force', () => {
    const kept = new LastGood();
    kept.set(...object(...POLICY, 'a.test'));
    kept.set(...object(...POLICY, 'b.test'));
    expect([hosts(kept), kept.notLoaded(), kept.findings()]).toEqual([[['b.test']], [], []]);
  });

  test('a bad version does not replace the good one, however many come', () => {
    const kept = new LastGood();
    kept.set(...object(...POLICY, 'a.test'));
    kept.set(...object(...POLICY, BAD));
    kept.set(...object(...POLICY, BAD));
    expect([hosts(kept), kept.notLoaded()]).toEqual([[['a.test']], []]);
    expect(kept.findings()).toMatchObject([{severity: 'error', object: 'EgressPolicy shop/p'}]);
  });

  test('the good version replaces the bad one', () => {
    const kept = new LastGood();
    kept.set(...object(...POLICY, BAD));
    kept.set(...object(...POLICY, 'a.test'));
    expect([hosts(kept), kept.notLoaded(), kept.findings()]).toEqual([[['a.test']], [], []]);
  });

  test('that is gone nothing is kept', () => {
    const kept = new LastGood();
    kept.set(...object(...POLICY, 'a.test'));
    kept.set(...POLICY, null);
    expect([hosts(kept), kept.notLoaded()]).toEqual([[], []]);
    kept.set(...object(...POLICY, BAD));
    expect(kept.notLoaded()).toEqual(['shop']);
    kept.set(...POLICY, null);
    expect([kept.notLoaded(), kept.findings()]).toEqual([[], []]);
  });

  test('of the same name that was made anew, the first one is no predecessor, though nobody saw it go', () => {
    const kept = new LastGood();
    kept.set(...object(...POLICY, 'a.test', 'u1'));
    kept.set(...object(...POLICY, BAD, 'u2'));
    expect([hosts(kept), kept.notLoaded()]).toEqual([[], ['shop']]);
  });
});

test.each<[Kind, string, (string | null)[]]>([
  ['EgressPolicy', 'shop/p', ['shop']],
  ['ClusterEgressPolicy', 'p', [null]],
  ['UpstreamProxy', 'p', [null]],
])('a bad %s without a predecessor is missing where it would hold', (kind, key, expected) => {
  const kept = new LastGood();
  kept.set(...object('EgressPolicy', 'other/p', 'a.test'));
  kept.set(...object(kind, key, BAD));
  expect(kept.findings()).toMatchObject([{severity: 'error'}]);
  expect(kept.notLoaded()).toEqual(expected);
  expect(hosts(kept)).toEqual([['a.test']]);
});
