import {describe, expect, test} from '@jest/globals';
import {APP, policies} from '../../policy/testing/asking.ts';
import type {Workload} from '../../policy/index.ts';
import {nameOf, outlookOf, type Outlook} from './outlook.ts';

const OTHER: Workload = {...APP, namespace: 'other', name: 'other-1', uid: 'uid-2'};
const BARE: Workload = {...APP, trustsCa: false};
const policy = (namespace: string, rules: string, mode = 'Enforce'): string => `apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: ${namespace}}
spec:
  podSelector: {}
  mode: ${mode}
  rules:
${rules}
---
`;
const HTTPS = '  - {name: seen, to: {hosts: [a.example]}}';
const TLS = '  - {name: unread, to: {hosts: [a.example], schemes: [tls]}}';
const DENY = '  - {name: no, action: Deny, to: {hosts: [a.example]}}';

describe('the outlook of a name', () => {
  test.each<{is: Outlook; where: string; text: string; workloads?: readonly (Workload | 'unknown')[]}>([
    {is: 'inspected', where: 'an https rule holds it', text: policy('default', HTTPS)},
    {
      is: 'inspected',
      where: 'an https rule of conditions holds it',
      text: policy('default', '  - {name: r, to: {hosts: [a.example]}, http: {methods: [GET]}}'),
    },
    {
      is: 'inspected',
      where: 'an https rule holds it on another port',
      text: policy('default', '  - {name: r, to: {hosts: [a.example], ports: [8443]}}'),
    },
    {
      is: 'inspected',
      where: 'it may resolve into the range of an https rule',
      text: policy('default', '  - {name: r, to: {cidrs: [203.0.113.0/24]}}'),
    },
    {is: 'passed', where: 'a tls rule holds it', text: policy('default', TLS)},
    {
      is: 'passed',
      where: 'a tls rule holds it on a range of ports',
      text: policy('default', '  - {name: r, to: {hosts: [a.example], schemes: [tls], ports: ["8000-8999"]}}'),
    },
    {
      is: 'passed',
      where: 'a tls rule holds it above the ports of a Deny',
      text: policy(
        'default',
        '  - {name: no, action: Deny, to: {hosts: [a.example], ports: ["8000-8500"]}}\n' +
          '  - {name: r, to: {hosts: [a.example], schemes: [tls], ports: ["8000-8999"]}}',
      ),
    },
    {is: 'refused', where: 'no rule holds it', text: policy('default', HTTPS.replace('a.', 'b.'))},
    {is: 'refused', where: 'a Deny holds it', text: policy('default', DENY + '\n' + HTTPS)},
    {
      is: 'refused',
      where: 'no rule holds it but one for bytes on another port',
      text: policy('default', '  - {name: r, to: {cidrs: [203.0.113.0/24], schemes: [tcp], ports: [5432]}}'),
    },
    {is: 'refused', where: 'no policy selects, and the default is Deny', text: policy('elsewhere', HTTPS)},
    {
      is: 'unseen',
      where: 'it is refused to who does not trust the CA',
      text: policy('default', DENY),
      workloads: [BARE],
    },
    {
      is: 'inspected',
      where: 'an https rule holds it, whatever the workload trusts',
      text: policy('default', HTTPS),
      workloads: [BARE],
    },
    {is: 'unseen', where: 'there are no workloads', text: policy('default', HTTPS), workloads: []},
    {is: 'unseen', where: 'the client is no known workload', text: policy('default', HTTPS), workloads: ['unknown']},
    {
      is: 'inspected',
      where: 'one workload of several has it inspected, and another passes it',
      text: policy('default', TLS) + policy('other', HTTPS),
      workloads: [APP, OTHER],
    },
    {
      is: 'passed',
      where: 'one workload passes it, and others are refused: no tls rule’s traffic is decrypted for a courtesy',
      text: policy('default', TLS) + policy('other', DENY),
      workloads: [OTHER, APP, {...OTHER, name: 'other-2'}],
    },
    {
      is: 'refused',
      where: 'of two that are refused one could read why',
      text: policy('default', DENY),
      workloads: [BARE, APP],
    },
    {is: 'inspected', where: 'only Audit selects, and the CA is trusted', text: policy('default', HTTPS, 'Audit')},
    {
      is: 'inspected',
      where: 'only Audit selects and would refuse, and the CA is trusted',
      text: policy('default', DENY, 'Audit'),
    },
    {
      is: 'passed',
      where: 'only Audit selects, and the CA is not trusted',
      text: policy('default', HTTPS, 'Audit'),
      workloads: [BARE],
    },
  ])('is $is where $where', ({is, text, workloads}) => {
    expect(outlookOf(policies(text), 'a.example', workloads ?? [APP])).toBe(is);
  });

  test('is passed by default where the installation allows what no policy selects', () => {
    expect(outlookOf(policies('', {defaultAction: 'Allow'}), 'a.example', [APP])).toBe('passed');
  });
  test('is unseen before policies are loaded', () => {
    expect(outlookOf('not-loaded', 'a.example', [APP])).toBe('unseen');
  });
});

describe('the name of an SNI', () => {
  test.each([
    ['A.Example', 'a.example'],
    ['a.example.', 'a.example'],
    ['intranet', 'intranet'],
    ['_no_sni_', null],
    ['', null],
    ['*', null],
    ['*.example', null],
    ['10.0.0.1', null],
    ['0x7f.1', null],
    ['::1', null],
    ['a.example:443', null],
    ['a b', null],
    ['a\0b', null],
    ['münchen.example', null],
    // Nobody outside of the proxy holds a key for the name that proves a capture.
    ['guard.sallyport.invalid', null],
    ['Guard.Sallyport.Invalid.', null],
    [`${'a'.repeat(64)}.example`, null],
  ])('%j is %j', (sni, name) => {
    expect(nameOf(sni)).toBe(name);
  });
});
