import {describe, expect, test} from '@jest/globals';
import {loadDocuments} from '../../policy/index.ts';
import type {NetworkPolicy} from '../surroundings.ts';
import {NOTHING} from '../testing/nothing.ts';
import {openedByNetworkPolicies} from './opened.ts';

const mesh = (enforcement: string) =>
  loadDocuments([
    {
      file: 'mesh.yaml',
      text: `apiVersion: sallyport.dev/v1alpha1\nkind: MeshEgress\nmetadata: {name: default}\nspec: {extauthz: {identity: extauthz.test}, enforcement: [${enforcement}]}\n`,
    },
  ]).setups[0]!;
const GATEWAY = '{at: EgressGateway, namespace: shop, selector: {matchLabels: {app: web}}}';
const OURS = {'app.kubernetes.io/managed-by': 'sallyport', 'sallyport.dev/mesh-egress': 'default'};
const opened = (
  spec: NetworkPolicy['spec'],
  {
    namespace = 'shop',
    labels = {},
    enforcement = GATEWAY,
  }: {namespace?: string; labels?: object; enforcement?: string} = {},
) => {
  const policy = {kind: 'NetworkPolicy', metadata: {name: 'theirs', namespace, labels}, spec} as NetworkPolicy;
  return openedByNetworkPolicies(mesh(enforcement), {
    ...NOTHING,
    networkPolicies: [policy],
  }).map(({message}) => message);
};
const to = (...cidrs: readonly string[]) => ({egress: [{to: cidrs.map((cidr) => ({ipBlock: {cidr}}))}]});

describe('a NetworkPolicy of others', () => {
  test.each<[string, NetworkPolicy['spec'], string]>([
    ['every address', to('0.0.0.0/0'), '0.0.0.0/0'],
    ['every address, written by a private one', to('10.0.0.0/0'), '10.0.0.0/0'],
    ['more than what is private', to('172.16.0.0/11'), '172.16.0.0/11'],
    ['every address of IPv6', to('::/0'), '::/0'],
    ['an address outside, beside one of the cluster', to('10.96.0.1/32', '203.0.113.0/24'), '203.0.113.0/24'],
    ['everything, by naming nobody', {egress: [{}]}, 'everything'],
    ['everything on one port', {egress: [{to: []}]}, 'everything'],
  ])('that lets pods out to %s goes past the gateway', (_what, spec, says) => {
    expect(opened(spec)).toEqual([expect.stringContaining(`out to ${says} by themselves`)]);
  });

  test.each<[string, readonly string[]]>([
    ['for the API server', opened(to('10.96.0.1/32'))],
    ['for pods', opened({egress: [{to: [{}]}]})],
    ['for what comes in', opened({})],
    ['of another namespace', opened(to('0.0.0.0/0'), {namespace: 'bank'})],
    ['for other pods', opened({podSelector: {matchLabels: {app: 'job'}}, ...to('0.0.0.0/0')})],
    ['where sidecars ask', opened(to('0.0.0.0/0'), {enforcement: '{at: Sidecar, namespace: shop}'})],
    ['of ours', opened(to('0.0.0.0/0'), {labels: OURS})],
    [
      'for the waypoint itself',
      opened(
        {podSelector: {matchLabels: {'gateway.networking.k8s.io/gateway-name': 'x'}}, ...to('0.0.0.0/0')},
        {enforcement: '{at: Waypoint, namespace: shop, hosts: [a.example]}'},
      ),
    ],
  ])('%s does not', (_what, found) => expect(found).toEqual([]));
});
