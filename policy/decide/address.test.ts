import {describe, expect, test} from '@jest/globals';
import {ask, decided, line, policies, PUBLIC, type Asking} from '../testing/asking.ts';

const SET = policies(`
  - {name: names, to: {hosts: ["*"], schemes: [http]}}
  - {name: lan, to: {hosts: ["*.lan.test"], cidrs: [10.64.0.0/24], schemes: [http]}}
  - {name: wide, to: {cidrs: [0.0.0.0/0, "::/0"], schemes: [http], ports: [8081, 15080]}}
  - {name: special, to: {cidrs: [169.254.169.254/32, 169.254.8.0/24, 192.168.5.7/32], schemes: [http], ports: [8082, 15080]}}
  - {name: cluster, to: {hosts: ["*.svc.cluster.local"], schemes: [http]}}
  - {name: not-nine, action: Deny, to: {hosts: [half.test, none.test], cidrs: [203.0.113.9/32]}}
  - {name: nowhere, action: Deny, to: {cidrs: [198.51.100.0/24]}}
  - {name: by-when, to: {hosts: [when.test], schemes: [http], ports: [8083]}, when: 'destination.ip == "203.0.113.2"'}
  - {name: not-when, action: Deny, to: {hosts: [denied.test]}, when: 'destination.ip == "203.0.113.2"'}
`);
const allow = (rule: string) => `allow RuleAllowed p/${rule}`;
const forbidden = (rule: string) => `deny DestinationForbidden p/${rule}`;

describe('the addresses of a name', () => {
  test.each<[string, string, string[], string, string[]]>([
    [
      'public ones are all dialled',
      'a.test',
      ['203.0.113.1', '2001:db8::1'],
      allow('names'),
      ['203.0.113.1', '2001:db8::1'],
    ],
    ['a private one is dropped', 'a.test', ['10.1.1.1', '203.0.113.1'], allow('names'), ['203.0.113.1']],
    ['a metadata address is dropped', 'a.test', ['169.254.169.254', '203.0.113.1'], allow('names'), ['203.0.113.1']],
    ['none is left', 'a.test', ['10.1.1.1', '127.0.0.1'], forbidden('names'), []],
    [
      'the first that survives fixes the rule',
      'x.lan.test',
      ['10.64.0.1', '203.0.113.1', '10.64.0.2'],
      allow('lan'),
      ['10.64.0.1', '10.64.0.2'],
    ],
    [
      'and only addresses of that rule are dialled',
      'x.lan.test',
      ['203.0.113.1', '10.64.0.1'],
      allow('names'),
      ['203.0.113.1'],
    ],
    ['mapped into IPv6, a private address is private', 'a.test', ['::ffff:10.1.1.1'], forbidden('names'), []],
    ['NAT64 clothes do not help', 'a.test', ['64:ff9b::a9fe:a9fe'], forbidden('names'), []],
    ['nor 6to4, nor Teredo', 'a.test', ['2002:a00:1::1', '2001:0:a00:1::f5ff:fffe'], forbidden('names'), []],
    ['carrier-grade NAT is not public', 'a.test', ['100.64.1.1'], forbidden('names'), []],
    [
      'a Deny by name and address drops that one',
      'half.test',
      [PUBLIC, '203.0.113.1'],
      allow('names'),
      ['203.0.113.1'],
    ],
    ['all of them denied', 'none.test', [PUBLIC], 'deny RuleDenied p/not-nine', []],
    [
      'a Deny by address alone is judged on what would be dialled',
      'a.test',
      ['198.51.100.1', '203.0.113.1'],
      allow('names'),
      ['203.0.113.1'],
    ],
    [
      'a name of the cluster needs no cidrs',
      'web.shop.svc.cluster.local',
      ['10.96.1.1'],
      allow('cluster'),
      ['10.96.1.1'],
    ],
    ['but an address of the cluster', 'web.shop.svc.cluster.local', ['203.0.113.1'], forbidden('cluster'), []],
    [
      'a Deny with a condition on the address',
      'denied.test',
      ['203.0.113.2', '203.0.113.3'],
      allow('names'),
      ['203.0.113.3'],
    ],
  ])('%s', (_, name, addresses, expected, dial) => {
    const decision = decided(SET, {url: `http://${name}/`, zone: {[name]: addresses}, ip: '203.0.113.200'});
    expect(line(decision)).toBe(expected);
    expect(decision.dial).toEqual(dial);
  });

  test.each<[string, Asking, string]>([
    ['the widest range opens private addresses', {url: 'http://10.9.9.9:8081/'}, allow('wide')],
    ['but not metadata', {url: 'http://169.254.169.254:8081/'}, forbidden('wide')],
    ['nor link-local', {url: 'http://169.254.8.8:8081/'}, forbidden('wide')],
    ['nor a node', {url: 'http://192.168.5.7:8081/'}, forbidden('wide')],
    ['nor loopback by the explicit port', {url: 'http://127.0.0.1:8081/', via: 'explicit'}, forbidden('wide')],
    ['nor multicast, reserved and unspecified', {url: 'http://224.0.0.1:8081/', via: 'explicit'}, forbidden('wide')],
    ['a range inside opens metadata', {url: 'http://169.254.169.254:8082/'}, allow('special')],
    ['and link-local beside it', {url: 'http://169.254.8.8:8082/'}, allow('special')],
    ['and a node', {url: 'http://192.168.5.7:8082/'}, allow('special')],
    ['but never our own port on a node', {url: 'http://192.168.5.7:15080/'}, forbidden('wide')],
    ['a star in hosts matches no literal', {url: 'http://203.0.113.1/'}, 'deny NoRuleMatched -'],
    [
      'cidrs alone go by the original destination, whatever is claimed',
      {url: 'http://evil.test:8081/', ip: '203.0.113.50'},
      allow('wide'),
    ],
    [
      'a Deny by the original destination needs no lookup',
      {url: 'http://a.test/', ip: '198.51.100.7'},
      'deny RuleDenied p/nowhere',
    ],
    [
      'on the explicit port cidrs alone go by the looked-up name',
      {url: 'http://lan.other:8081/', via: 'explicit', zone: {'lan.other': ['10.3.3.3']}},
      allow('wide'),
    ],
  ])('%s', (_, asking, expected) => {
    expect(line(decided(SET, asking))).toBe(expected);
  });

  test('a condition on the address picks the addresses', () => {
    const decision = decided(SET, {url: 'http://when.test:8083/', zone: {'when.test': ['203.0.113.1', '203.0.113.2']}});
    expect(decision).toMatchObject({rule: 'by-when', dial: ['203.0.113.2']});
  });
  test('nothing is looked up for what no rule could allow', () => {
    expect(ask(SET, {url: 'http://a.test:9999/'}).looked).toEqual([]);
    expect(ask(SET, {url: 'http://a.test/', ip: '198.51.100.7'}).looked).toEqual([]);
  });
  test('a name that does not resolve names the rule that would have allowed it', () => {
    const decision = decided(SET, {url: 'http://gone.test/'});
    expect(line(decision)).toBe('deny Unresolvable p/names');
    expect(decision.response?.status).toBe(502);
  });
});

describe('short names', () => {
  const facts = {searchDomains: ['shop.svc.cluster.local', 'svc.cluster.local']};
  const set = policies(
    `
  - {name: both, to: {hosts: [wiki, wiki.shop.svc.cluster.local], schemes: [http]}}
  - {name: short, to: {hosts: [alone, "*"], schemes: [http]}}
  - {name: not-secret, action: Deny, to: {hosts: [secret.shop.svc.cluster.local]}}
  - {name: secret, to: {hosts: [secret, "*.svc.cluster.local"], schemes: [http]}}
`,
    facts,
  );
  const cluster = {'wiki.shop.svc.cluster.local': ['10.96.1.1'], 'alone.shop.svc.cluster.local': ['10.96.1.2']};
  test('as written first; then by the search list, where a rule holds both readings', () => {
    const {answer, looked} = ask(set, {url: 'http://wiki/', zone: cluster});
    expect('verdict' in answer && line(answer)).toBe(allow('both'));
    expect(looked).toEqual(['wiki', 'wiki.shop.svc.cluster.local']);
  });
  test('an expansion that no rule holds is not looked up', () => {
    const only = policies('  - {name: short, to: {hosts: [alone, "*"], schemes: [http]}}', facts);
    const {answer, looked} = ask(only, {url: 'http://alone/', zone: cluster});
    expect('verdict' in answer && line(answer)).toBe('deny Unresolvable p/short');
    expect(looked).toEqual(['alone']);
  });
  test('a Deny of the expansion holds', () => {
    expect(line(decided(set, {url: 'http://secret/', zone: cluster}))).toBe('deny RuleDenied p/not-secret');
  });
  test('two dots are enough to be looked up as written only', () => {
    expect(ask(set, {url: 'http://a.b.c/', zone: cluster}).looked).toEqual(['a.b.c']);
  });
});
