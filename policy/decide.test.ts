/** Selection, precedence, Audit, defaults: what the steps make together. */
import {describe, expect, test} from '@jest/globals';
import {APP, ask, decided, line, policies, PUBLIC, type Asking} from './testing/asking.ts';

const policy = (name: string, spec: string, kind = 'EgressPolicy', namespace = 'default'): string => `---
apiVersion: sallyport.dev/v1alpha1
kind: ${kind}
metadata: {name: ${name}${kind === 'EgressPolicy' ? `, namespace: ${namespace}` : ''}}
spec:
  podSelector: {}
  ${spec.trim().replace(/\n/g, '\n  ')}
`;
const zone = {
  'a.test': [PUBLIC],
  'b.test': [PUBLIC],
  'lan.test': ['10.1.2.3'],
  'link.test': ['169.254.8.8'],
  'loop.test': ['127.0.0.9'],
};
const WARY = {...APP, trustsCa: false};

describe('precedence', () => {
  const set = policies(
    policy(
      'zz',
      'rules:\n- {name: stamp, to: {hosts: [a.test]}, http: {paths: ["/c/**"]}}\n- {name: never, action: Deny, to: {hosts: [b.test]}}\ndeny: {status: 451, body: cluster}',
      'ClusterEgressPolicy',
    ) +
      policy('b', 'rules:\n- {name: all, to: {hosts: [a.test]}}\ndeny: {status: 418, body: b}') +
      policy(
        'a',
        'rules:\n- {name: gets, to: {hosts: ["*"]}, http: {methods: [GET]}}\n- {name: no-admin, action: Deny, to: {hosts: [a.test]}, http: {paths: ["/admin"]}}\ndeny: {status: 409, body: a}',
      ) +
      policy('elsewhere', 'rules:\n- {name: all, to: {hosts: ["*"]}}', 'EgressPolicy', 'other'),
  );
  test.each<[string, Asking, string, number | null]>([
    ['a cluster Allow first', {url: 'https://a.test/c/x'}, 'allow RuleAllowed zz/stamp', null],
    ['then by policy name', {url: 'https://a.test/x'}, 'allow RuleAllowed a/gets', null],
    ['then the next policy', {url: 'https://a.test/x', method: 'PUT'}, 'allow RuleAllowed b/all', null],
    [
      'a Deny before any Allow, and its policy answers',
      {url: 'https://a.test/admin'},
      'deny RuleDenied a/no-admin',
      409,
    ],
    ['a cluster Deny', {url: 'https://b.test/'}, 'deny RuleDenied zz/never', 451],
    [
      'nothing matched: the first policy that selects answers',
      {url: 'https://c.test/', method: 'PUT'},
      'deny NoRuleMatched -',
      451,
    ],
  ])('%s', (_, asking, expected, status) => {
    const decision = decided(set, {zone, ...asking});
    expect(line(decision)).toBe(expected);
    expect(decision.response?.status ?? null).toBe(status);
  });
});

describe('who is selected', () => {
  const set = policies(
    policy(
      'labelled',
      'podSelector: {matchLabels: {app: web}}\nrules:\n- {name: allow, to: {hosts: ["*"]}}\n- {name: deny, action: Deny, to: {hosts: [b.test]}}',
    ).replace('  podSelector: {}\n', ''),
  );
  test('a workload with the labels', () => {
    expect(line(decided(set, {url: 'https://a.test/', zone}))).toBe('allow RuleAllowed labelled/allow');
  });
  test('one without: nobody selects it', () => {
    const decision = decided(set, {url: 'https://a.test/', zone, workload: {...APP, labels: {}}});
    expect(line(decision)).toBe('deny NoPolicySelects -');
    expect(decision.response).toMatchObject({status: 403});
  });
  test('labels that are unknown: Deny rules count, Allow rules do not, and the default opens nothing', () => {
    const unsure = {...APP, labels: null};
    const generous = policies(
      policy(
        'labelled',
        'rules:\n- {name: allow, to: {hosts: ["*"]}}\n- {name: deny, action: Deny, to: {hosts: [b.test]}}',
      ).replace('podSelector: {}', 'podSelector: {matchLabels: {app: web}}'),
      {defaultAction: 'Allow'},
    );
    expect(line(decided(generous, {url: 'https://a.test/', zone, workload: unsure}))).toBe('deny NoRuleMatched -');
    expect(line(decided(generous, {url: 'https://b.test/', zone, workload: unsure}))).toBe(
      'deny RuleDenied labelled/deny',
    );
  });
  test('nobody knows the source', () => {
    expect(line(decided(set, {url: 'http://a.test/', workload: 'unknown'}))).toBe('deny UnknownWorkload -');
  });
});

describe('defaultAction Allow, and no policy', () => {
  const set = policies('', {defaultAction: 'Allow'});
  test.each<[string, Asking, string]>([
    ['a public address', {url: 'https://a.test/'}, 'allow DefaultAllowed -'],
    ['a private one', {url: 'http://a.test/', ip: '10.1.2.3'}, 'deny DestinationForbidden -'],
    ['a metadata address', {url: 'http://a.test/', ip: '169.254.169.254'}, 'deny DestinationForbidden -'],
    ['by the explicit port, looked up', {url: 'http://lan.test/', via: 'explicit'}, 'deny DestinationForbidden -'],
    ['opaque bytes', {url: 'tcp://203.0.113.9:5432'}, 'allow DefaultAllowed -'],
  ])('%s', (_, asking, expected) => {
    expect(line(decided(set, {zone, ...asking}))).toBe(expected);
  });
  test('it is dialled where the client went, whatever it claims', () => {
    expect(decided(set, {url: 'http://a.test/', ip: '203.0.113.66', zone}).dial).toEqual(['203.0.113.66']);
  });
});

describe('every selecting policy is Audit', () => {
  const set = policies(
    policy(
      'watch',
      'mode: Audit\nrules:\n- {name: known, to: {hosts: [a.test, lan.test, link.test, loop.test], schemes: [https, http]}, request: {set: {x-a: "1"}}, via: Direct}\n- {name: no-put, action: Deny, to: {hosts: [a.test]}, http: {methods: [PUT]}}\n- {name: pinned, to: {hosts: [pinned.test], schemes: [tls]}}\ndeny: {status: 451, body: watching}',
    ),
  );
  test.each<[string, Asking, string, boolean | 'unknown']>([
    ['a rule matches', {url: 'https://a.test/'}, 'allow RuleAllowed watch/known', false],
    ['no rule matches', {url: 'https://x.test/'}, 'allow NoRuleMatched -', true],
    ['a Deny matches', {url: 'https://a.test/', method: 'PUT'}, 'allow RuleDenied watch/no-put', true],
    [
      'a private address is let through, and told',
      {url: 'http://lan.test/', ip: '10.1.2.3'},
      'allow DestinationForbidden watch/known',
      true,
    ],
    [
      'a name that does not resolve, where the client went',
      {url: 'http://a.test/', zone: {}},
      'allow Unresolvable watch/known',
      true,
    ],
    ['bytes that no rule knows', {url: 'tcp://203.0.113.9:5432'}, 'allow NoRuleMatched -', true],
    [
      'a client that does not trust the CA is left alone',
      {url: 'https://a.test/', workload: WARY},
      'allow Uninspectable -',
      'unknown',
    ],
    [
      'an ambiguous path of the rules',
      {url: 'http://a.test/', headers: [['x-http-method', 'PUT']]},
      'allow AmbiguousPath -',
      true,
    ],
  ])('%s', (_, asking, expected, wouldDeny) => {
    const decision = decided(set, {zone, ...asking});
    expect(line(decision)).toBe(expected);
    expect(decision).toMatchObject({enforced: false, wouldDeny, response: null, requestMutations: {set: {}}});
    expect(decision.dial.length).toBeGreaterThan(0);
  });
  test.each<[string, Asking, string]>([
    ['link-local', {url: 'http://link.test/', ip: '169.254.8.8'}, 'deny DestinationForbidden watch/known'],
    [
      'loopback by the explicit port',
      {url: 'http://loop.test/', via: 'explicit'},
      'deny DestinationForbidden watch/known',
    ],
    ["a node's own address", {url: 'tcp://192.168.5.7:22'}, 'deny DestinationForbidden -'],
    [
      'metadata, whatever name is claimed',
      {url: 'http://x.test/', ip: '169.254.169.254'},
      'deny DestinationForbidden -',
    ],
    ['names that disagree', {url: 'https://a.test/', host: 'b.test'}, 'deny HostMismatch -'],
    ['h2c', {url: 'http://a.test/', upgrade: ['h2c']}, 'deny UnsupportedProtocol -'],
    ['ECH that would pass unseen', {url: 'https://x.test/', workload: WARY, ech: true}, 'deny UnsupportedProtocol -'],
    ['ECH under a tls rule', {url: 'tls://pinned.test', ech: true}, 'deny UnsupportedProtocol -'],
  ])('enforced all the same: %s', (_, asking, expected) => {
    const decision = decided(set, {zone, ...asking});
    expect(line(decision)).toBe(expected);
    expect(decision.response?.status).not.toBe(451);
  });
  test('TLS of a workload that trusts the CA is decrypted to be told about', () => {
    expect(ask(set, {url: 'tls://a.test', zone}).answer).toEqual({needs: 'request'});
  });
  test('a tls rule is certain without a look', () => {
    const decision = decided(set, {url: 'tls://pinned.test', zone: {'pinned.test': [PUBLIC]}, workload: WARY});
    expect(decision).toMatchObject({reason: 'RuleAllowed', wouldDeny: false});
  });
});

describe('Audit beside Enforce', () => {
  const set = policies(
    policy(
      'watch',
      'mode: Audit\nrules:\n- {name: known, to: {hosts: [a.test, b.test], schemes: [https, http]}, request: {set: {x-a: "1"}}}\n- {name: no-put, action: Deny, to: {hosts: [a.test]}, http: {methods: [PUT]}}\ndeny: {status: 451, body: x}',
    ) + policy('strict', 'rules:\n- {name: known, to: {hosts: [a.test]}}'),
  );
  test.each<[string, Asking, string, boolean]>([
    ['both allow', {url: 'https://a.test/'}, 'allow RuleAllowed strict/known', false],
    ['the Audit Deny blocks nothing', {url: 'https://a.test/', method: 'PUT'}, 'allow RuleAllowed strict/known', true],
    ['the Audit Allow opens nothing', {url: 'http://b.test/'}, 'deny NoRuleMatched -', false],
    ['neither allows', {url: 'https://c.test/'}, 'deny NoRuleMatched -', true],
  ])('%s', (_, asking, expected, wouldDeny) => {
    const {answer} = ask(set, {zone, ...asking});
    if (!('verdict' in answer)) throw new Error('undecided');
    expect(line(answer)).toBe(expected);
    expect(answer.enforced).toBe(true);
    if (answer.verdict === 'allow') expect(answer.wouldDeny).toBe(wouldDeny);
    else expect(answer.response?.status).toBe(403);
  });
  test('no name is looked up only to tell what Audit would say of a refusal', () => {
    const {answer, looked} = ask(set, {url: 'http://b.test/', zone});
    expect(answer).toMatchObject({verdict: 'deny', wouldDeny: 'unknown'});
    expect(looked).toEqual([]);
  });
});
