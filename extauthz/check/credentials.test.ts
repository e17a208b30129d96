/** Credentials of a parent: added for the Envoy that sends, told to nobody else; and workloads that ask for them themselves. */
import {describe, expect, test} from '@jest/globals';
import {withAuthorization} from './changes.ts';
import {envoyBefore, letsThrough, SITE, type Question} from '../testing/asking.ts';

const PROXY = (auth: string) => `
---
apiVersion: sallyport.dev/v1alpha1
kind: UpstreamProxy
metadata: {name: corp}
spec: {endpoints: [{url: "http://203.0.113.77:3128"}]${auth}}
`;
const AUTH = ', auth: {secretRef: {namespace: sallyport, name: corp}}';
const policy = (auth = AUTH) => `
apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: default}
spec:
  podSelector: {}
  rules:
  - {name: web, to: {hosts: [${SITE}], schemes: [http, tls]}, via: corp}
${PROXY(auth)}`;
const BASIC = 'Basic YWxpY2U6czNjcmV0';
const OWN = 'spiffe://cluster.local/ns/default/sa/default';
const HOP = 'spiffe://cluster.local/ns/istio-egress/sa/gateway';
const ASKS = {'sallyport-dials': 'name', 'sallyport-via': 'corp', 'sallyport-credentials': 'add'};
const added = (
  asked: Question,
  given: string,
  authorizations: Readonly<Record<string, string | null>> = {corp: BASIC},
  peer: string | null = OWN,
) => {
  const envoy = envoyBefore({policy: given, authorizations, hops: [HOP]});
  const answer = envoy.ask({extensions: ASKS, ...asked}, peer === null ? {} : {peer});
  const {httpResponse} = answer.response;
  const headers = httpResponse.case === 'okResponse' ? httpResponse.value.headers : [];
  return {
    answer,
    sent: headers.map(({header, append}) => [header!.key, header!.value, append]),
  };
};

describe('the credentials of a parent', () => {
  test.each<[string, Question]>([
    ['a CONNECT', {method: 'CONNECT', host: `${SITE}:443`, path: ''}],
    ['a plain request', {host: SITE}],
    [
      'a request with credentials of the client’s own, which do not arrive',
      {host: SITE, headers: {'proxy-authorization': 'Basic eDp5'}},
    ],
  ])('are added to %s', (_what, asked) => {
    const {answer, sent} = added(asked, policy());
    expect(letsThrough(answer)).toBe(true);
    expect(sent).toEqual([['proxy-authorization', BASIC, false]]);
  });

  test('are nowhere but in the request: neither metadata nor the decision that is logged', () => {
    const {answer} = added({host: SITE}, policy());
    const {response, decision, request} = answer;
    expect(JSON.stringify([response.dynamicMetadata, decision, request.traffic])).not.toMatch(/YWxpY2U|s3cret/);
  });

  test.each([
    ['an Envoy that does not ask for them', {...ASKS, 'sallyport-credentials': undefined}, {corp: BASIC}],
    ['a parent that wants none', ASKS, {corp: null}],
  ])('are not added for %s', (_what, extensions, authorizations) => {
    const asked = Object.fromEntries(Object.entries(extensions).filter(([, value]) => value !== undefined)) as Record<
      string,
      string
    >;
    const {answer, sent} = added({host: SITE, extensions: asked}, policy(), authorizations);
    expect([letsThrough(answer), sent]).toEqual([true, []]);
  });

  test.each(['TRACE', 'trace'])(
    'are not sent with %s, which the parent itself would answer with all that it got',
    (method) => {
      const asked = {host: SITE, method, headers: {'max-forwards': '0'}};
      const {answer, sent} = added(asked, policy());
      expect([letsThrough(answer), answer.decision.reason, sent]).toEqual([false, 'UpstreamUnreachable', []]);
      expect(letsThrough(added(asked, policy(''), {corp: null}).answer)).toBe(true);
    },
  );

  test('that could not be read are a refusal, and not a request without them', () => {
    const {answer} = added({host: SITE}, policy(), {});
    expect([letsThrough(answer), answer.decision.reason]).toEqual([false, 'UpstreamUnreachable']);
  });

  test.each([
    ['that shows no certificate', null],
    ['of another account', 'spiffe://cluster.local/ns/default/sa/batch'],
    ['of another namespace', 'spiffe://cluster.local/ns/other/sa/default'],
    ['of another kind of identity', 'spiffe://x/default'],
  ])('are told to no Envoy %s: it would ask for somebody else', (_what, peer) => {
    const {answer, sent} = added({host: SITE}, policy(), {corp: BASIC}, peer);
    expect([letsThrough(answer), answer.decision.reason, sent]).toEqual([false, 'UpstreamUnreachable', []]);
  });

  test.each([
    ['our own', 'cluster.local', true],
    ['another, whose root is believed beside ours', 'partner.example', false],
  ])('are told to an Envoy of the account in trust domain %s', (_what, domain, isTold) => {
    const authorizations = {corp: BASIC};
    const envoy = envoyBefore({policy: policy(), authorizations, trustDomain: 'cluster.local'});
    const answer = envoy.ask({extensions: ASKS, host: SITE}, {peer: OWN.replace('cluster.local', domain)});
    expect(letsThrough(answer)).toBe(isTold);
    const there = envoyBefore({policy: policy(), authorizations, hops: [HOP], trustDomain: 'corp'});
    // A hop is named with its whole identity.
    expect(letsThrough(there.ask({extensions: ASKS, host: SITE}, {peer: HOP}))).toBe(true);
  });

  test('are told to a hop, which sends for everybody', () => {
    expect(added({host: SITE}, policy(), {corp: BASIC}, HOP).sent).toEqual([['proxy-authorization', BASIC, false]]);
  });

  test('of a parent that a rule does not leave through are not given to an Envoy that sends there', () => {
    const direct = policy().replace(', via: corp', '');
    const {answer, sent} = added({host: SITE}, direct);
    expect([letsThrough(answer), sent]).toEqual([false, []]);
  });

  test('stand before what a filter makes of the same header', () => {
    const changes = {
      headers: [
        {name: 'x-a', value: 'b', append: false},
        {name: 'Proxy-Authorization', value: 'x', append: false},
      ],
      remove: ['proxy-authorization', 'x-b'],
    };
    expect(withAuthorization(changes, BASIC)).toEqual({
      headers: [{name: 'proxy-authorization', value: BASIC, append: false}, changes.headers[0]],
      remove: ['x-b'],
    });
  });

  test('another word than add is a refusal', () => {
    const {answer} = added({host: SITE, extensions: {...ASKS, 'sallyport-credentials': 'yes'}}, policy());
    expect(answer.decision.reason).toBe('MalformedRequest');
  });
});

describe('a workload that asks us itself, through its sidecar', () => {
  const open = policy('').replace(`hosts: [${SITE}]`, 'hosts: ["*"]').replace(', via: corp', '');
  test.each([
    '/envoy.service.auth.v3.Authorization/Check',
    '/envoy.service.auth.v3.Authorization/Check?x=1',
    '/envoy.service.auth.v2.Authorization/Check',
    '/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets',
  ])('%s is refused, whatever the policy allows', (path) => {
    const asked = {method: 'POST', host: SITE, path, protocol: 'HTTP/2'} as const;
    const answer = envoyBefore({policy: open}).ask(asked);
    expect([letsThrough(answer), answer.decision.reason]).toEqual([false, 'UnsupportedProtocol']);
    expect(letsThrough(envoyBefore({policy: open}).ask({...asked, path: '/other'}))).toBe(true);
  });
});
