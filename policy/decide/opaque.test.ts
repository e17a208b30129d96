import {describe, expect, test} from '@jest/globals';
import {ask, decided, line, policies, type Asking} from '../testing/asking.ts';

const SET = policies(`
  - {name: database, to: {cidrs: [203.0.113.0/28, 10.60.0.0/24], schemes: [tcp], ports: [5432]}}
  - {name: queue, to: {hosts: [queue.test, inner.test], schemes: [tcp], ports: [5432, 5672]}}
  - {name: not-that, action: Deny, to: {cidrs: [203.0.113.6/32]}}
  - {name: nor-by-name, action: Deny, to: {hosts: [named.test]}}
  - {name: nor-wild, action: Deny, to: {hosts: ["*.wild.test"]}}
  - {name: web, to: {hosts: [web.test], schemes: [https, http], ports: [8443, 5672]}}
  - {name: cluster, to: {hosts: [db.shop.svc.cluster.local], schemes: [tcp], ports: [3306]}}
  - {name: strict, action: Deny, to: {hosts: [strict.test]}, http: {methods: [PUT]}}
`);
const zone = {
  'queue.test': ['203.0.113.100'],
  'inner.test': ['10.61.0.5'],
  'named.test': ['203.0.113.7'],
  'db.shop.svc.cluster.local': ['10.96.3.3', '10.61.0.9'],
  'strict.test': ['203.0.113.8'],
  'x.wild.test': ['203.0.113.5'],
};

describe('bytes of no protocol that is looked into', () => {
  test.each<[string, Asking, string]>([
    ['inside the CIDR', {url: 'tcp://203.0.113.5:5432'}, 'allow RuleAllowed p/database'],
    ['a private address that the rule names', {url: 'tcp://10.60.0.1:5432'}, 'allow RuleAllowed p/database'],
    ['one past the CIDR', {url: 'tcp://203.0.113.16:5432'}, 'deny NoRuleMatched -'],
    ['another port', {url: 'tcp://203.0.113.5:5433'}, 'deny NoRuleMatched -'],
    ['a Deny by address covers tcp', {url: 'tcp://203.0.113.6:5432'}, 'deny RuleDenied p/not-that'],
    [
      'a Deny by exact name covers tcp through its addresses',
      {url: 'tcp://203.0.113.7:5432'},
      'deny RuleDenied p/nor-by-name',
    ],
    ['a Deny on requests cannot be judged', {url: 'tcp://203.0.113.8:5432'}, 'deny Uninspectable p/strict'],
    ['by the addresses of a name', {url: 'tcp://203.0.113.100:5672'}, 'allow RuleAllowed p/queue'],
    [
      'the name of a private address without its CIDR',
      {url: 'tcp://10.61.0.5:5672'},
      'deny DestinationForbidden p/queue',
    ],
    ['a name of the cluster at one of its addresses', {url: 'tcp://10.96.3.3:3306'}, 'allow RuleAllowed p/cluster'],
    ['a name of the cluster at another', {url: 'tcp://10.61.0.9:3306'}, 'deny DestinationForbidden p/cluster'],
    ['by the name that CONNECT claims', {url: 'tcp://queue.test:5672', via: 'explicit'}, 'allow RuleAllowed p/queue'],
    [
      'a name that CONNECT claims and a wildcard Deny holds',
      {url: 'tcp://x.wild.test:5432', via: 'explicit'},
      'deny RuleDenied p/nor-wild',
    ],
    [
      'a name that no rule names is judged by its addresses',
      {url: 'tcp://named.test:5432', via: 'explicit'},
      'deny RuleDenied p/nor-by-name',
    ],
  ])('%s', (_, asking, expected) => {
    expect(line(decided(SET, {zone, ...asking}))).toBe(expected);
  });

  test('no port that an https rule covers is judged unread', () => {
    expect(ask(SET, {url: 'tcp://203.0.113.100:5432', zone}).on).toBe('unread');
    expect(ask(SET, {url: 'tcp://203.0.113.100:5672', zone}).on).toBe('opaque');
  });
  test('a refusal is never told to bytes that were not read', () => {
    expect(ask(SET, {url: 'tcp://203.0.113.6:5432', zone}).on).toBe('opaque');
  });
  test('no name is looked up for a port that no tcp rule covers', () => {
    expect(ask(SET, {url: 'tcp://203.0.113.100:9999', zone}).looked).toEqual([]);
  });
  test("a Deny's names are looked up only once an Allow would hold", () => {
    expect(ask(SET, {url: 'tcp://203.0.113.200:5432', zone}).looked).toEqual(['queue.test', 'inner.test']);
    expect(ask(SET, {url: 'tcp://203.0.113.5:5432', zone}).looked).toEqual(['named.test', 'strict.test']);
  });
  test('an http request that no http rule allows passes by a tcp rule', () => {
    expect(line(decided(SET, {url: 'http://whoever.test:5432/', ip: '203.0.113.5', zone}))).toBe(
      'allow RuleAllowed p/database',
    );
    expect(line(decided(SET, {url: 'http://whoever.test:5672/', ip: '203.0.113.5', zone}))).toBe(
      'deny NoRuleMatched -',
    );
  });
});
