import {describe, expect, test} from '@jest/globals';
import {loadDocuments} from '../policy/index.ts';
import {undiscovered} from './discovery.ts';
import {NOTHING} from './testing/nothing.ts';

const HEAD = 'apiVersion: sallyport.dev/v1alpha1\nkind: MeshEgress\nmetadata: {name: default}\n';
const NAMESPACES = new Map<string, Readonly<Record<string, string>>>([
  ['istio-system', {mesh: 'yes'}],
  ['sallyport', {mesh: 'yes'}],
  ['shop', {team: 'a'}],
  ['istio-egress', {}],
]);
const found = (selectors: string, enforcement = '{at: Sidecar, namespace: shop}') => {
  const text = `${HEAD}spec: {extauthz: {identity: extauthz.test}, enforcement: [${enforcement}]}\n`;
  const mesh = loadDocuments([{file: 'mesh.yaml', text}]).setups[0]!;
  return undiscovered(mesh, {...NOTHING, namespaces: NAMESPACES, mesh: selectors}).map(
    ({code, object}) => `${code} ${object}`,
  );
};

describe('namespaces that istiod does not look at', () => {
  test.each<[string, readonly string[], readonly string[]]>([
    ['without selectors it looks at all', found('trustDomain: corp\n'), []],
    ['by label', found('discoverySelectors: [{matchLabels: {mesh: "yes"}}]'), ['shop']],
    [
      'one of several is enough',
      found('discoverySelectors: [{matchLabels: {mesh: "yes"}}, {matchLabels: {team: a}}]'),
      [],
    ],
    [
      'In',
      found('discoverySelectors: [{matchExpressions: [{key: team, operator: In, values: [a, b]}]}]'),
      ['istio-system', 'sallyport'],
    ],
    ['NotIn', found('discoverySelectors: [{matchExpressions: [{key: team, operator: NotIn, values: [a]}]}]'), ['shop']],
    ['Exists', found('discoverySelectors: [{matchExpressions: [{key: mesh, operator: Exists}]}]'), ['shop']],
    [
      'DoesNotExist',
      found('discoverySelectors: [{matchExpressions: [{key: team, operator: DoesNotExist}]}]'),
      ['shop'],
    ],
    [
      'an operator that is none',
      found('discoverySelectors: [{matchExpressions: [{key: team, operator: in}]}]'),
      ['istio-system', 'sallyport', 'shop'],
    ],
    [
      'the gateway’s is needed too',
      found(
        'discoverySelectors: [{matchLabels: {mesh: "yes"}}, {matchLabels: {team: a}}]',
        '{at: EgressGateway, namespace: shop}',
      ),
      ['istio-egress'],
    ],
    [
      'a namespace that there is not is nobody’s business',
      found('discoverySelectors: [{matchLabels: {mesh: "yes"}}]', '{at: Sidecar, namespace: bank}'),
      [],
    ],
    ['what cannot be read is said elsewhere', found('{'), []],
  ])('%s', (_what, messages, namespaces) => {
    expect(messages).toEqual(namespaces.map((name) => `NotDiscovered Namespace ${name}`));
  });
});
