/** What Envoy may say that no honest Envoy says, and what once came out differently: each by its own CheckRequest. */
import {describe, expect, test} from '@jest/globals';
import {NO_SNI, nameOf} from '../../extauthz/sds/outlook.ts';
import type {HttpRequest, Traffic, Workload} from '../../policy/index.ts';
import {policies, PUBLIC} from '../../policy/testing/asking.ts';
import type {Exchange} from '../reference/arbitraries.ts';
import {checkExchange, checkFiltered} from './checked.ts';
import {asEnvoyAsks} from './envoy-asks.ts';

const SET = policies(`apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: default}
spec:
  podSelector: {}
  rules:
  - {name: not-in-the-clear, action: Deny, to: {hosts: [raw.test], schemes: [https, http]}}
  - {name: raw, to: {hosts: [raw.test], schemes: [tcp], ports: [9443]}}
  - {name: no-tls, action: Deny, to: {hosts: [mixed.test], schemes: [tls]}}
  - {name: mixed, to: {hosts: [mixed.test]}}
  - {name: site, to: {hosts: [a.test], schemes: [https, http]}}
  - {name: team, to: {hosts: [team.test], schemes: [http]}, http: {headers: {x-team: "assets*"}}}
  - {name: chained, to: {hosts: [chained.test], schemes: [http]}, via: corp}
---
apiVersion: sallyport.dev/v1alpha1
kind: UpstreamProxy
metadata: {name: corp}
spec: {endpoints: [{url: "http://proxy.corp:3128"}]}
`);
const ZONE = new Map(['a.test', 'raw.test', 'mixed.test', 'team.test', 'chained.test'].map((name) => [name, [PUBLIC]]));
const APP: Workload = {
  namespace: 'default',
  namespaceLabels: {},
  name: 'app',
  uid: 'u',
  labels: {},
  serviceAccount: 'default',
  node: null,
  trustsCa: true,
};

const exchange = (port: number, ...layers: Traffic[]): Exchange => ({
  base: {
    id: '0123456789abcdef',
    arrived: 'mesh',
    workload: APP,
    source: {ip: '10.244.1.5', port: 40000},
    destination: {ip: PUBLIC, port, host: null},
    connectAuthority: null,
    canInspect: true,
  },
  layers: [{kind: 'unread'}, ...layers],
});

const tls = (sni: string) => ({sni, alpn: [], ech: false});
const get = (host: string, headers: string[] = [], more: Partial<HttpRequest> = {}): HttpRequest => ({
  version: '1.1',
  method: 'GET',
  scheme: null,
  authority: null,
  host,
  path: '/',
  query: null,
  upgrade: [],
  headers,
  ...more,
});
const plain = (host: string, headers: string[] = [], more: Partial<HttpRequest> = {}): Exchange =>
  exchange(80, {kind: 'http', http: get(host, headers, more)});
const inTls = (sni: string, port = 443): Exchange =>
  exchange(port, {kind: 'tls', tls: tls(sni)}, {kind: 'https', tls: tls(sni), http: get(sni)});

/** verdict, reason and rule of what Envoy is told. */
function told(one: Exchange, more: Readonly<Record<string, string>> = {}): string {
  const asked = asEnvoyAsks(SET, one, ZONE);
  const {outcome} = checkExchange(SET, APP, ZONE, {...asked, told: {...asked.told, ...more}});
  return [outcome.verdict, outcome.reason, outcome.rule ?? '-'].join(' ');
}

describe('an answer of ours', () => {
  test.each<[string, Exchange, Record<string, string>, string]>([
    ['a site', plain('a.test'), {}, 'allow RuleAllowed default/p/site'],
    ['two Host lines', plain('a.test', ['host', 'evil.test', 'host', 'a.test']), {}, 'deny MalformedRequest -'],
    ['a Host beside another authority', plain('a.test', ['host', 'evil.test']), {}, 'deny HostMismatch -'],
    ['a scheme that means nothing', plain('a.test'), {'sallyport-scheme': 'htps'}, 'deny MalformedRequest -'],
    ['a port that is none', plain('a.test'), {'sallyport-port': '0'}, 'deny MalformedRequest -'],
    ['a parent that this Envoy uses', plain('chained.test'), {}, 'allow RuleAllowed default/p/chained'],
    [
      'a parent that it does not use',
      plain('chained.test'),
      {'sallyport-via': 'special'},
      'deny UpstreamUnreachable default/p/chained',
    ],
    [
      'a parent where the rule goes direct',
      plain('a.test'),
      {'sallyport-via': 'corp'},
      'deny UpstreamUnreachable default/p/site',
    ],
    [
      'a tcp rule on TLS that is passed on, and a Deny of https',
      inTls('raw.test', 9443),
      {},
      'allow RuleAllowed default/p/raw',
    ],
    ['a Deny of tls on TLS that Envoy terminated', inTls('mixed.test'), {}, 'deny RuleDenied default/p/no-tls'],
    [
      'one line with a comma, raw',
      plain('team.test', ['x-team', 'assets, assets-2']),
      {},
      'allow RuleAllowed default/p/team',
    ],
    [
      'one line with a comma, raw, that matches as one',
      plain('team.test', ['x-team', 'assets, billing']),
      {},
      'allow RuleAllowed default/p/team',
    ],
    [
      'the same where Envoy may have joined it',
      plain('team.test', ['x-team', 'assets, billing'], {linesJoined: true}),
      {},
      'deny AmbiguousPath -',
    ],
  ])('%s', (_, one, more, expected) => {
    expect(told(one, more)).toBe(expected);
  });

  test('is of the policies that are in force when the filters are done', () => {
    const none = policies(`apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: default}
spec: {podSelector: {}, rules: [{name: other, to: {hosts: [other.test]}}]}
`);
    const {message, told} = asEnvoyAsks(SET, plain('a.test'), ZONE);
    expect(checkFiltered(SET, none, APP, ZONE, {message, told}).map(({verdict}) => verdict)).toEqual(['deny']);
  });
});

describe('a certificate is made for', () => {
  test.each([
    ['a name', 'A.Test.', 'a.test'],
    ['no SNI', NO_SNI, null],
    ['an address', '203.0.113.9', null],
    ['an IPv6 address', '2001:db8::1', null],
    ['a number that some take for an address', '0x7f.1', null],
    ['what is no name', 'a b', null],
    ['nothing', '', null],
  ])('%s', (_, sni, name) => {
    expect(nameOf(sni)).toBe(name);
  });
});
