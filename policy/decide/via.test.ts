import {describe, expect, test} from '@jest/globals';
import {ask, decided, line, policies, PUBLIC, type Asking} from '../testing/asking.ts';

const PROXY = (name: string, rest: string) =>
  `---\napiVersion: sallyport.dev/v1alpha1\nkind: UpstreamProxy\nmetadata: {name: ${name}}\nspec: {endpoints: [{url: "http://proxy.corp:3128"}], ${rest}}\n`;
const POLICY = `---
apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: default}
spec:
  podSelector: {}
  rules:
  - {name: by-name, to: {hosts: [a.test, "*.b.test", web.shop.svc.cluster.local, lan.test], schemes: [http], ports: [80]}}
  - {name: any, to: {hosts: ["*"], schemes: [http], ports: [81]}}
  - {name: literal, to: {cidrs: [203.0.113.0/24, 10.0.0.0/8], schemes: [http, tcp], ports: [82]}}
  - {name: own, to: {hosts: [a.test], schemes: [http], ports: [83]}, via: special}
  - {name: direct, to: {hosts: [a.test], schemes: [http], ports: [84]}, via: Direct}
  - {name: gone, to: {hosts: [a.test], schemes: [http], ports: [85]}, via: nowhere}
  - {name: blind, to: {hosts: [a.test, "*"], schemes: [http], ports: [86]}, via: blind}
  - {name: blind-cidr, to: {hosts: [a.test], cidrs: [203.0.113.0/24], schemes: [http], ports: [87]}, via: blind}
  - {name: local, to: {hosts: [a.test], schemes: [http], ports: [88]}, via: local}
  - {name: not-there, action: Deny, to: {hosts: [denied.b.test]}, when: 'destination.ip == "203.0.113.9"'}
`;
const SET = policies(
  [
    PROXY('corp', 'hosts: ["*"], except: ["*.except.b.test"]'),
    PROXY('zcorp', 'hosts: ["*.b.test"]'),
    PROXY('special', 'resolve: Both'),
    PROXY('blind', 'resolve: Proxy'),
    PROXY('local', 'resolve: Local'),
    POLICY,
  ].join(''),
);
const zone = {
  'a.test': [PUBLIC],
  'x.b.test': [PUBLIC],
  'x.except.b.test': [PUBLIC],
  'web.shop.svc.cluster.local': ['10.96.1.1'],
  'lan.test': ['10.1.1.1'],
};
const proxy = (name: string, sends: string) => ({kind: 'proxy', proxy: name, sends});

describe('how an allowed request leaves', () => {
  test.each<[string, Asking, object]>([
    ['by default through the first parent by name', {url: 'http://x.b.test/'}, proxy('corp', 'name')],
    ['its except list goes to the next that holds the name', {url: 'http://x.except.b.test/'}, proxy('zcorp', 'name')],
    ['a name of the cluster goes direct', {url: 'http://web.shop.svc.cluster.local/'}, {kind: 'direct'}],
    [
      'a literal by a rule of cidrs alone is sent as the address',
      {url: 'http://203.0.113.9:82/'},
      proxy('corp', 'address'),
    ],
    [
      'a claimed name that only its address was judged for is never sent',
      {url: 'http://other.test:82/', ip: '203.0.113.9'},
      proxy('corp', 'address'),
    ],
    ['an address of the cluster goes direct', {url: 'http://10.96.1.1:82/'}, {kind: 'direct'}],
    ['tcp is sent as the address', {url: 'tcp://203.0.113.9:82'}, proxy('corp', 'address')],
    ["the rule's own parent wins", {url: 'http://a.test:83/'}, proxy('special', 'name')],
    ['Direct wins too', {url: 'http://a.test:84/'}, {kind: 'direct'}],
    [
      'a parent that does not exist is no reason to go direct',
      {url: 'http://a.test:85/'},
      {kind: 'missing', proxy: 'nowhere'},
    ],
    ['resolve Local sends the checked address', {url: 'http://a.test:88/'}, proxy('local', 'address')],
  ])('%s', (_, asking, via) => {
    expect(decided(SET, {zone, ...asking})).toMatchObject({verdict: 'allow', via});
  });

  test('resolve Proxy: the name is never looked up here', () => {
    const {answer, looked} = ask(SET, {url: 'http://a.test:86/', zone});
    expect(answer).toMatchObject({verdict: 'allow', dial: [], via: proxy('blind', 'name')});
    expect(looked).toEqual([]);
  });
  test.each<[string, Asking]>([
    ['a bare star is no licence', {url: 'http://unknown.test:86/'}],
    ['cidrs match no name', {url: 'http://a.test:87/'}],
  ])('resolve Proxy: %s', (_, asking) => {
    const {answer, looked} = ask(SET, {zone, ...asking});
    expect('verdict' in answer && line(answer)).toBe('deny NoRuleMatched -');
    expect(looked).toEqual([]);
  });
  test('resolve Both: a name unknown here is left to the parent', () => {
    expect(decided(SET, {url: 'http://y.b.test/', zone})).toMatchObject({
      verdict: 'allow',
      dial: [],
      via: proxy('corp', 'name'),
    });
  });
  test('resolve Both: not where only a star allows it', () => {
    expect(line(decided(SET, {url: 'http://y.b.test:81/', zone}))).toBe('deny Unresolvable p/any');
  });
  test('resolve Both: not a name of the cluster', () => {
    expect(line(decided(SET, {url: 'http://web.shop.svc.cluster.local/'}))).toBe('deny Unresolvable p/by-name');
  });
  test('resolve Both: not past a Deny that looks at the address', () => {
    expect(line(decided(SET, {url: 'http://denied.b.test/', zone}))).toBe('deny RuleDenied p/not-there');
  });
  test('resolve Both: a forbidden address is refused, parent or not', () => {
    expect(line(decided(SET, {url: 'http://lan.test/', zone}))).toBe('deny DestinationForbidden p/by-name');
  });

  test.each<[string, Asking, string]>([
    [
      'what a parent dials by name need not have the address that the client had',
      {url: 'http://x.b.test/'},
      'allow RuleAllowed p/by-name',
    ],
    ['a name left to a blind parent is looked up by nobody', {url: 'http://a.test:86/'}, 'allow RuleAllowed p/blind'],
    [
      'a parent that is sent the address is sent one that was checked',
      {url: 'http://a.test:88/'},
      'deny HostMismatch -',
    ],
    ['what leaves directly is held to its address', {url: 'http://a.test:84/'}, 'deny HostMismatch -'],
    [
      'a forbidden address is refused all the same',
      {url: 'http://lan.test/', ip: '10.1.1.1'},
      'deny DestinationForbidden p/by-name',
    ],
  ])('in a mesh: %s', (_, asking, expected) => {
    expect(line(decided(SET, {zone, via: 'mesh', ip: '203.0.113.77', ...asking}))).toBe(expected);
  });
});
