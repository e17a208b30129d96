import {describe, expect, test} from '@jest/globals';
import fc from 'fast-check';
import {formatSpiffeId, isTrustDomain, parseSpiffeId} from './spiffe.ts';

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/);
const subdomain = fc.array(label, {minLength: 1, maxLength: 3}).map((labels) => labels.join('.'));
const id = fc.record({trustDomain: subdomain, namespace: label, serviceAccount: subdomain});

describe('ids of ServiceAccounts', () => {
  test('what is written is read', () => {
    fc.assert(fc.property(id, (parts) => expect(parseSpiffeId(formatSpiffeId(parts))).toEqual(parts)));
  });

  test('whatever is read is written the same: an id has one spelling, so texts may be compared', () => {
    const mutated = fc.tuple(id, fc.nat(), fc.string({maxLength: 3}), fc.nat(3)).map(([parts, at, put, cut]) => {
      const text = formatSpiffeId(parts);
      const from = at % (text.length + 1);
      return text.slice(0, from) + put + text.slice(from + cut);
    });
    fc.assert(
      fc.property(mutated, (text) => {
        const read = parseSpiffeId(text);
        if (read !== null) expect(formatSpiffeId(read)).toBe(text);
      }),
      {numRuns: 2_000},
    );
  });

  test.each([
    ['another scheme', 'https://cluster.local/ns/a/sa/b'],
    ['a scheme in capitals, which is the same URI', 'SPIFFE://cluster.local/ns/a/sa/b'],
    ['a trust domain in capitals, which is the same host', 'spiffe://Cluster.local/ns/a/sa/b'],
    ['a port', 'spiffe://cluster.local:443/ns/a/sa/b'],
    ['a user', 'spiffe://x@cluster.local/ns/a/sa/b'],
    ['no trust domain', 'spiffe:///ns/a/sa/b'],
    ['a query', 'spiffe://cluster.local/ns/a/sa/b?x'],
    ['a fragment', 'spiffe://cluster.local/ns/a/sa/b#x'],
    ['a slash at the end', 'spiffe://cluster.local/ns/a/sa/b/'],
    ['an empty segment', 'spiffe://cluster.local/ns//sa/b'],
    ['a segment that goes up', 'spiffe://cluster.local/ns/../sa/b'],
    ['an escape', 'spiffe://cluster.local/ns/%61/sa/b'],
    ['an underscore, which Kubernetes has in no name', 'spiffe://cluster.local/ns/a_b/sa/c'],
    ['a namespace with a dot, which is none', 'spiffe://cluster.local/ns/a.b/sa/c'],
    ['a namespace of more than 63 characters', `spiffe://cluster.local/ns/${'a'.repeat(64)}/sa/c`],
    ['a line end', 'spiffe://cluster.local/ns/a/sa/b\n'],
    ['NUL', 'spiffe://cluster.local/ns/a/sa/b\0'],
    ['a further path', 'spiffe://cluster.local/ns/a/sa/b/ns/c/sa/d'],
    ['other words', 'spiffe://cluster.local/namespace/a/sa/b'],
    ['nothing', ''],
  ])('refuses %s', (_what, text) => {
    expect(parseSpiffeId(text)).toBeNull();
  });

  test('makes none of names that are none', () => {
    for (const bad of [
      {trustDomain: 'cluster.local', namespace: 'a/sa/admin', serviceAccount: 'b'},
      {trustDomain: 'cluster.local', namespace: 'a', serviceAccount: ''},
      {trustDomain: 'cluster.local/ns/x', namespace: 'a', serviceAccount: 'b'},
    ])
      expect(() => formatSpiffeId(bad)).toThrow(TypeError);
  });

  test('a trust domain is a host in lower case', () => {
    expect(['cluster.local', 'example', 'a-b.c'].every(isTrustDomain)).toBe(true);
    expect(['', '.', 'a.', '.a', '-a', 'A', 'a_b', 'a'.repeat(256), 'a b'].some(isTrustDomain)).toBe(false);
  });
});
