/** What rules that look at less must not carry past rules that look at more. */
import {describe, expect, test} from '@jest/globals';
import {decided, line, policies, PUBLIC} from '../testing/asking.ts';

const SET = policies(`
  - {name: bytes, to: {cidrs: [203.0.113.0/24], schemes: [tcp], ports: [443, 8443]}}
  - {name: public, to: {hosts: [a.test]}, http: {paths: ["/public/**"]}}
  - {name: looked, to: {hosts: [b.test], ports: [8443]}}
  - {name: stars, to: {hosts: ["*"], schemes: [tls], ports: [444]}}
  - {name: no-admin, action: Deny, to: {hosts: [a.test], schemes: [https], ports: [8443]}, http: {paths: ["/admin/**"]}}
  - {name: v6, to: {cidrs: ["::/0"], schemes: [http]}}
  - {name: not-there, action: Deny, to: {cidrs: [198.51.100.0/24]}}
`);
const zone = {'a.test': [PUBLIC], 'web.shop.svc.cluster.local': ['10.96.0.7'], 'b.test': [PUBLIC]};

describe('beside rules that look', () => {
  test.each([
    [
      'a tcp rule does not carry a request that an https rule refuses',
      {url: 'https://a.test/x', zone},
      'deny NoRuleMatched -',
    ],
    [
      'a tcp rule does not carry TLS that a Deny on requests could match',
      {url: 'tls://a.test:8443', zone},
      'deny Uninspectable p/no-admin',
    ],
    ['a star of tls holds names of the world', {url: 'tls://b.test:444', zone}, 'allow RuleAllowed p/stars'],
    [
      'a star of tls holds no name of the cluster',
      {url: 'https://web.shop.svc.cluster.local:444', zone},
      'deny NoRuleMatched -',
    ],
    [
      'a Deny of a range holds its IPv6 forms',
      {url: 'http://[64:ff9b::c633:6407]/', ip: '64:ff9b::c633:6407'},
      'deny RuleDenied p/not-there',
    ],
  ])('%s', (_what, asking, expected) => {
    expect(line(decided(SET, asking))).toBe(expected);
  });
});
