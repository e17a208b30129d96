import {describe, expect, test} from '@jest/globals';
import {compilePolicies, loadDocuments, type Installation, type PolicySet} from '../policy/index.ts';
import type {Guarded, WorkloadEntry} from '../sources/workload-table.ts';
import {latching, members, type MemberRule} from './node-members.ts';
import type {Posture} from './settings.ts';

const INSTALLATION: Installation = {
  ...{defaultAction: 'Deny', clusterDomain: 'cluster.local', serviceCidrs: [], podCidrs: [], nodeCidrs: []},
  ...{nat64Prefixes: [], searchDomains: [], ownPorts: []},
};
const policyOf = (namespace: string, mode: string): string => `
apiVersion: sallyport.dev/v1alpha1
kind: EgressPolicy
metadata: {name: p, namespace: ${namespace}}
spec: {mode: ${mode}, podSelector: {matchLabels: {app: web}}, rules: []}
`;
const compiled = (...texts: string[]): PolicySet => {
  const sources = texts.map((text, n) => ({file: `${n}.yaml`, text}));
  const {documents, findings} = loadDocuments(sources);
  expect(findings.filter(({severity}) => severity === 'error')).toEqual([]);
  return compilePolicies(documents, INSTALLATION);
};
const POLICIES = compiled(
  policyOf('shop', 'Enforce'),
  policyOf('watched', 'Audit'),
  policyOf('kube-system', 'Enforce'),
);

interface Row {
  readonly namespace?: string;
  readonly namespaceLabels?: Record<string, string> | null;
  readonly app?: string;
  readonly guarded?: Guarded;
  readonly latched?: boolean;
}
const entry = ({namespace = 'other', namespaceLabels = {}, app = 'x', guarded = 'unasked'}: Row): WorkloadEntry => ({
  workload: {
    ...{namespace, namespaceLabels, name: 'a', uid: 'u', labels: {app}, serviceAccount: 'default', node: 'n'},
    trustsCa: false,
  },
  ...{ips: ['10.0.0.5'], interface: null, guarded},
});
const ruleOf = (posture: Posture, latched = false): MemberRule => ({
  ...{posture, exempt: new Set(['kube-system']), latched: () => latched},
});
const POSTURES = ['annotated', 'selected', 'all'] as const;

describe('how a pod is held with the postures annotated, selected and all', () => {
  test.each<[string, Row, string]>([
    ['that asks for nothing and that no policy selects', {}, 'free free locked'],
    ['that a policy selects', {namespace: 'shop', app: 'web'}, 'free locked locked'],
    ['that only Audit policies select', {namespace: 'watched', app: 'web'}, 'free captured captured'],
    ['that asks', {guarded: 'asked'}, 'locked locked locked'],
    [
      'that asks, and only Audit policies select it',
      {namespace: 'watched', app: 'web', guarded: 'asked'},
      'captured captured captured',
    ],
    ['that asked, or was selected, while it ran', {latched: true}, 'locked locked locked'],
    ['with a sidecar', {guarded: 'sidecar'}, 'free free sidecar'],
    [
      'with a sidecar, that a policy selects: the mesh holds it',
      {namespace: 'shop', app: 'web', guarded: 'sidecar'},
      'free free sidecar',
    ],
    ['with a sidecar that was held before', {guarded: 'sidecar', latched: true}, 'locked locked locked'],
    [
      'of an exempt namespace, whatever it asks',
      {namespace: 'kube-system', app: 'web', guarded: 'asked', latched: true},
      'free free free',
    ],
    ['of a file', {guarded: 'listed'}, 'locked locked locked'],
    [
      'of a file, that only Audit policies select',
      {namespace: 'watched', app: 'web', guarded: 'listed'},
      'captured captured captured',
    ],
  ])('%s', (_title, row, expected) => {
    const holds = POSTURES.map((posture) => {
      const [member] = members({workloads: [entry(row)]}, POLICIES, ruleOf(posture, row.latched));
      return member!.mode;
    });
    expect(holds.join(' ')).toBe(expected);
  });

  test('one that a policy may select, since its namespace’s labels are not known, is locked where selecting counts', () => {
    const byNamespace = compiled(`
apiVersion: sallyport.dev/v1alpha1
kind: ClusterEgressPolicy
metadata: {name: p}
spec: {podSelector: {}, namespaceSelector: {matchLabels: {team: a}}, rules: []}
`);
    const workloads = [entry({namespaceLabels: null})];
    expect(members({workloads}, byNamespace, ruleOf('selected'))[0]!.mode).toBe('locked');
    expect(latching({workloads}, byNamespace, ruleOf('selected'))).toEqual([]);
  });

  test('one whose policy could not be read is locked where selecting counts', () => {
    const unread = compilePolicies([], INSTALLATION, ['other']);
    expect(members({workloads: [entry({})]}, unread, ruleOf('selected'))[0]!.mode).toBe('locked');
  });
});

describe('capture is for as long as the pod lives', () => {
  test.each<[string, Row, Posture, boolean]>([
    ['where it asks', {guarded: 'asked'}, 'annotated', true],
    ['where a policy selects it', {namespace: 'shop', app: 'web'}, 'selected', true],
    ['where an Audit policy does', {namespace: 'watched', app: 'web'}, 'selected', true],
    ['where it already is', {latched: true}, 'annotated', true],
    ['not where it is not held', {}, 'selected', false],
    ['not by its sidecar: that is read anew each time, and does not change', {guarded: 'sidecar'}, 'all', false],
    ['not of a file', {guarded: 'listed'}, 'selected', false],
    ['not while its namespace is not known', {guarded: 'asked', namespaceLabels: null}, 'annotated', false],
  ])('%s', (_title, row, posture, expected) => {
    const uids = latching({workloads: [entry(row)]}, POLICIES, ruleOf(posture, row.latched));
    expect(uids).toEqual(expected ? ['u'] : []);
  });
});
