import {describe, expect, test} from '@jest/globals';
import type {LabelSelector, PolicyDocument} from './documents.ts';
import {compilePolicies, distinctWorkloads, modesSelecting} from './compile.ts';
import {decide} from './decide.ts';
import {policySelects} from './select.ts';
import {APP, policies} from './testing/asking.ts';

const EVERYTHING: LabelSelector = {matchLabels: {}, matchExpressions: []};
const base: PolicyDocument = {
  kind: 'EgressPolicy',
  name: 'p',
  namespace: 'default',
  namespaceSelector: EVERYTHING,
  podSelector: EVERYTHING,
  serviceAccounts: [],
  mode: 'Enforce',
  rules: [],
  deny: null,
  at: {file: 'x', line: 1, column: 1},
};
const cluster: PolicyDocument = {...base, kind: 'ClusterEgressPolicy', namespace: null};
const labels = (matchLabels: Record<string, string>): LabelSelector => ({matchLabels, matchExpressions: []});
const expression = (
  key: string,
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist',
  values: string[] = [],
): LabelSelector => ({
  matchLabels: {},
  matchExpressions: [{key, operator, values}],
});

describe('a policy selects a workload', () => {
  test.each<[string, PolicyDocument, boolean | 'unknown']>([
    ['of its namespace', base, true],
    ['not of another', {...base, namespace: 'other'}, false],
    ['by all labels', {...base, podSelector: labels({app: 'web'})}, true],
    ['not by some of them', {...base, podSelector: labels({app: 'web', tier: 'front'})}, false],
    ['not by a property of every object', {...base, podSelector: expression('constructor', 'Exists')}, false],
    ['In', {...base, podSelector: expression('app', 'In', ['web', 'api'])}, true],
    ['not In', {...base, podSelector: expression('app', 'In', ['api'])}, false],
    ['In, without the label', {...base, podSelector: expression('tier', 'In', ['front'])}, false],
    ['NotIn', {...base, podSelector: expression('app', 'NotIn', ['api'])}, true],
    ['NotIn, without the label', {...base, podSelector: expression('tier', 'NotIn', ['front'])}, true],
    ['Exists', {...base, podSelector: expression('app', 'Exists')}, true],
    ['DoesNotExist', {...base, podSelector: expression('app', 'DoesNotExist')}, false],
    ['by account', {...base, serviceAccounts: ['default']}, true],
    ['not by another account', {...base, serviceAccounts: ['robot']}, false],
    ['a cluster policy, everywhere', cluster, true],
    ['a cluster policy by namespace/account', {...cluster, serviceAccounts: ['default/default']}, true],
    ['a cluster policy, not by the account alone', {...cluster, serviceAccounts: ['default']}, false],
    ['a cluster policy by labels of the namespace', {...cluster, namespaceSelector: labels({team: 'a'})}, true],
    ['a label of the pod is no label of its namespace', {...cluster, namespaceSelector: labels({app: 'web'})}, false],
  ])('%s', (_, policy, expected) => {
    expect(policySelects(policy, {...APP, namespaceLabels: {team: 'a'}})).toBe(expected);
  });
  test.each<[string, PolicyDocument, boolean | 'unknown']>([
    ['nothing asked of labels', base, true],
    ['labels asked for', {...base, podSelector: labels({app: 'web'})}, 'unknown'],
    ['another namespace all the same', {...base, namespace: 'other', podSelector: labels({app: 'web'})}, false],
    ['another account all the same', {...base, serviceAccounts: ['robot'], podSelector: labels({app: 'web'})}, false],
  ])('labels unknown: %s', (_, policy, expected) => {
    expect(policySelects(policy, {...APP, labels: null})).toBe(expected);
  });
  const byTeam = {...cluster, namespaceSelector: labels({team: 'a'})};
  test.each<[string, PolicyDocument, boolean | 'unknown']>([
    ['a policy of the namespace, which is known by its name', base, true],
    ['a cluster policy, everywhere', cluster, true],
    ['a cluster policy that asks for labels of the namespace', byTeam, 'unknown'],
    [
      'one that asks for labels of the pod too, which it has',
      {...byTeam, podSelector: labels({app: 'web'})},
      'unknown',
    ],
    ['one that asks for labels of the pod too, which it lacks', {...byTeam, podSelector: labels({app: 'api'})}, false],
    ['another account all the same', {...byTeam, serviceAccounts: ['default/robot']}, false],
  ])('labels of the namespace unknown: %s', (_, policy, expected) => {
    expect(policySelects(policy, {...APP, namespaceLabels: null})).toBe(expected);
  });
});

test('the modes that select decide between captured and locked', () => {
  const document = (name: string, mode: string, app: string) =>
    `---\napiVersion: sallyport.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: ${name}, namespace: default}\nspec: {podSelector: {matchLabels: {app: ${app}}}, mode: ${mode}, rules: []}\n`;
  const set = policies(document('a', 'Audit', 'web') + document('b', 'Enforce', 'api'));
  const modes = (app: string | null) => [...modesSelecting(set, {...APP, labels: app === null ? null : {app}})];
  expect(modes('web')).toEqual(['Audit']);
  expect(modes('api')).toEqual(['Enforce']);
  expect(modes('db')).toEqual([]);
  // An Audit policy that only may select frees nobody from the lock.
  expect(modes(null)).toEqual(['Enforce']);
});

describe('workloads that no rule can tell apart are one', () => {
  const other = {...APP, name: 'app-2', uid: 'uid-2'};
  const api = {...APP, name: 'api-1', labels: {app: 'api'}};
  const away = {...APP, namespace: 'away'};
  const untrusting = {...APP, trustsCa: false};
  const kinds = (text: string) => distinctWorkloads(policies(text), [APP, other, api, away, untrusting]);
  const ruled = (when: string): string => `\n  - {name: r, to: {hosts: [a.example]}, when: '${when}'}\n`;
  test.each([
    ['policies that select all of a namespace', `\n  - {name: r, to: {hosts: [a.example]}}\n`, [APP, away, untrusting]],
    ['a condition on labels', ruled('source.labels["app"] == "web"'), [APP, api, away, untrusting]],
    ['a condition on the namespace', ruled('source.namespace == "default"'), [APP, api, away, untrusting]],
    ['a condition on the name', ruled('source.name == "app-2"'), [APP, other, api, away, untrusting]],
    ['no policies', '', [APP, untrusting]],
  ])('with %s', (_, text, expected) => expect(kinds(text)).toEqual(expected));
});

describe('a policy that could not be loaded', () => {
  const AUDIT: PolicyDocument = {...base, mode: 'Audit'};
  const away = {...APP, namespace: 'away'};
  const facts = policies('', {defaultAction: 'Allow'}).installation;
  const of = (documents: PolicyDocument[], notLoaded: (string | null)[]) =>
    compilePolicies(documents, facts, notLoaded);
  const reasonFor = (set: ReturnType<typeof of>, workload: typeof APP): unknown =>
    decide(
      set,
      {
        ...{id: 'x', arrived: 'captured', workload, source: {ip: '10.244.1.5', port: 40_000}, connectAuthority: null},
        destination: {ip: '203.0.113.9', port: 7_000, host: null},
        ...{canInspect: false, traffic: {kind: 'opaque'}},
      },
      new Map(),
    );

  test.each<[string, PolicyDocument[], (string | null)[], typeof APP, string]>([
    ['of its namespace, which no policy selects', [], ['default'], APP, 'PolicyNotLoaded'],
    ['of its namespace, beside one that would audit', [AUDIT], ['default'], APP, 'PolicyNotLoaded'],
    ['of its namespace, beside one that enforces', [base], ['default'], APP, 'PolicyNotLoaded'],
    ['of another namespace', [], ['default'], away, 'DefaultAllowed'],
    ['of another namespace, and one that enforces', [base], ['away'], APP, 'NoRuleMatched'],
    ['of the cluster', [], [null], away, 'PolicyNotLoaded'],
    ['of the cluster, beside one that enforces', [base], [null], APP, 'PolicyNotLoaded'],
  ])('%s: what it may select is refused, and no more', (_, documents, notLoaded, workload, reason) => {
    expect(reasonFor(of(documents, notLoaded), workload)).toMatchObject({
      reason,
      verdict: reason === 'DefaultAllowed' ? 'allow' : 'deny',
      ...(reason === 'PolicyNotLoaded' ? {enforced: true, policy: null, rule: null, response: {status: 503}} : {}),
    });
  });

  test('captures what it may select, so that it can be refused', () => {
    expect([...modesSelecting(of([], ['default']), APP)]).toEqual(['Enforce']);
    expect([...modesSelecting(of([AUDIT], [null]), APP)].sort()).toEqual(['Audit', 'Enforce']);
    expect([...modesSelecting(of([], ['default']), away)]).toEqual([]);
  });

  test('makes its namespace another kind of workload', () => {
    expect(distinctWorkloads(of([cluster], ['away']), [APP, away])).toEqual([APP, away]);
  });
});
