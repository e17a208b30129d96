import {describe, expect, test} from '@jest/globals';
import {APP, ask, decided, line, policies, PUBLIC, type Asking} from '../testing/asking.ts';

const WARY = {...APP, trustsCa: false};
const SET = policies(`
  - {name: pinned, to: {hosts: [pinned.test, fenced.test, gone.test], schemes: [tls]}}
  - {name: seen, to: {hosts: [seen.test]}}
  - {name: no-admin, action: Deny, to: {hosts: [fenced.test]}, http: {paths: ["/admin/**"]}}
  - {name: never, action: Deny, to: {hosts: [never.test]}}
  - {name: not-sealed, action: Deny, to: {hosts: [open.test], schemes: [tls]}}
  - {name: open, to: {hosts: [open.test]}}
  - {name: inner, to: {hosts: [inner.test], schemes: [tls]}}
  - {name: bytes, to: {cidrs: [203.0.113.77/32], schemes: [tcp], ports: [443]}}
  - {name: early, to: {hosts: [dual.test], schemes: [tls]}}
  - {name: late, to: {hosts: [dual.test]}}
`);
const zone = {'pinned.test': [PUBLIC], 'fenced.test': [PUBLIC], 'inner.test': ['10.1.2.3'], 'dual.test': ['10.1.2.4']};

describe('a ClientHello', () => {
  test('a tls rule passes it through to the checked address', () => {
    const {answer, on} = ask(SET, {url: 'https://pinned.test/', zone});
    expect(answer).toMatchObject({
      verdict: 'allow',
      reason: 'RuleAllowed',
      rule: 'pinned',
      dial: [PUBLIC],
      inspect: false,
    });
    expect(on).toBe('tls');
  });
  test('an https rule has it decrypted, whatever the workload trusts, and nothing is looked up before', () => {
    const {answer, looked} = ask(SET, {url: 'tls://seen.test', workload: WARY, zone});
    expect(answer).toEqual({needs: 'request'});
    expect(looked).toEqual([]);
  });
  test.each<[string, Asking, string, boolean]>([
    ['a Deny on requests forbids to pass it unseen', {url: 'tls://fenced.test'}, 'deny Uninspectable p/no-admin', true],
    [
      'a ClientHello with ECH never passes unseen',
      {url: 'tls://pinned.test', ech: true},
      'deny UnsupportedProtocol -',
      true,
    ],
    ['a Deny of tls alone is not left to the request', {url: 'tls://open.test'}, 'deny RuleDenied p/not-sealed', true],
    [
      'an address that the tls rule does not open',
      {url: 'tls://inner.test'},
      'deny DestinationForbidden p/inner',
      true,
    ],
    ['a name that does not resolve', {url: 'tls://gone.test'}, 'deny Unresolvable p/pinned', true],
  ])('final: %s', (_, asking, expected, inspect) => {
    const decision = decided(SET, {zone, ...asking});
    expect(line(decision)).toBe(expected);
    expect(decision.inspect).toBe(inspect);
    expect(decided(SET, {zone, ...asking, workload: WARY}).inspect).toBe(false);
  });
  test.each([
    ['a Deny that holds for requests too', 'never.test', 'deny RuleDenied p/never'],
    ['no rule', 'other.test', 'deny NoRuleMatched -'],
  ])('%s is told in the answer to a request, or by a reset', (_, host, expected) => {
    expect(ask(SET, {url: `tls://${host}`, zone}).answer).toEqual({needs: 'request'});
    expect(line(decided(SET, {url: `https://${host}/`, zone}))).toBe(expected);
    const reset = ask(SET, {url: `https://${host}/`, workload: WARY, zone});
    expect(reset).toMatchObject({on: 'tls', answer: {verdict: 'deny', inspect: false}});
  });
  test('a tcp rule is tried after those that look', () => {
    expect(line(decided(SET, {url: 'tls://other.test', ip: '203.0.113.77'}))).toBe('allow RuleAllowed p/bytes');
    expect(ask(SET, {url: 'tls://seen.test', ip: '203.0.113.77'}).answer).toEqual({needs: 'request'});
  });
  test('where the tls rule does not open the address and a later https rule does not either, the refusal names the first', () => {
    expect(line(decided(SET, {url: 'tls://dual.test', zone}))).toBe('deny DestinationForbidden p/early');
  });
  test('a workload that nobody knows, and policies that are not loaded', () => {
    expect(line(decided(SET, {url: 'tls://pinned.test', workload: 'unknown'}))).toBe('deny UnknownWorkload -');
    expect(line(decided('not-loaded', {url: 'https://pinned.test/'}))).toBe('deny PolicyNotLoaded -');
    expect(decided('not-loaded', {url: 'https://pinned.test/'}).response?.status).toBe(503);
  });
});

describe('where TLS cannot be inspected', () => {
  const mesh = {
    via: 'mesh',
    canInspect: false,
    ip: PUBLIC,
    zone: {...zone, 'seen.test': [PUBLIC], 'by-path.test': [PUBLIC]},
  } as const;
  const more = policies(`
  - {name: by-path, to: {hosts: [by-path.test]}, http: {paths: ["/ok"]}}
  - {name: seen, to: {hosts: [seen.test]}}
`);
  test('in a mesh a host-only https rule matches on the SNI', () => {
    expect(line(decided(more, {url: 'tls://seen.test', ...mesh}))).toBe('allow RuleAllowed p/seen');
  });
  test('in a mesh a rule that needs the request does not', () => {
    expect(line(decided(more, {url: 'tls://by-path.test', ...mesh}))).toBe('deny NoRuleMatched -');
  });
  test('in a mesh the SNI is held to the address that is dialled', () => {
    expect(line(decided(more, {url: 'tls://seen.test', ...mesh, ip: '203.0.113.66'}))).toBe('deny HostMismatch -');
  });
  test('elsewhere an https rule is refused rather than widened', () => {
    expect(decided(more, {url: 'tls://seen.test', canInspect: false})).toMatchObject({
      verdict: 'deny',
      reason: 'Uninspectable',
    });
  });
});
