import {describe, expect, test} from '@jest/globals';
import {formatFinding} from './format.ts';
import {loadDocuments} from './load.ts';

const HEAD = 'apiVersion: sallyport.dev/v1alpha1\nkind: MeshEgress\nmetadata: {name: default}\n';
const load = (spec: string) => loadDocuments([{file: 'mesh.yaml', text: `${HEAD}${spec}`}]);

describe('MeshEgress', () => {
  test('with nothing said it has every default written out', () => {
    const {setups, documents, findings} = load('spec: {}\n');
    expect(findings).toEqual([]);
    expect(documents).toEqual([]);
    expect(setups).toEqual([
      {
        kind: 'MeshEgress',
        name: 'default',
        istio: {version: '1.31', revision: 'default', rootNamespace: 'istio-system', trustDomain: 'cluster.local'},
        outboundTrafficPolicy: 'RegistryOnly',
        extauthz: {name: 'sallyport-extauthz', namespace: 'sallyport', port: 9000, timeoutMs: 500, identity: null},
        enforcement: [],
        egressGateway: {
          namespace: 'istio-egress',
          serviceAccount: 'istio-egressgateway',
          labels: {istio: 'egressgateway'},
          port: 15443,
          inspect: null,
        },
        proxies: [],
        chain: [],
        at: {file: 'mesh.yaml', line: 1, column: 1},
      },
    ]);
  });

  test('it is no policy: beside policies it is kept apart from what decides', () => {
    const proxy = `---\napiVersion: sallyport.dev/v1alpha1\nkind: UpstreamProxy\nmetadata: {name: corp}\nspec: {endpoints: [{url: "http://10.1.2.3:3128"}]}\n`;
    const {setups, documents} = load(`spec: {}\n${proxy}`);
    expect([setups.map(({name}) => name), documents.map(({name}) => name)]).toEqual([['default'], ['corp']]);
  });

  test.each([
    [
      'a field that there is not, with the one that is meant',
      'spec: {enforcment: []}',
      '4:8',
      'UnknownField',
      'enforcement',
    ],
    ['a namespace', 'spec: {}\n', '3:27', 'ClusterScoped', ''],
    ['a version that nothing is known of', 'spec: {istio: {version: "1.12"}}', '4:25', 'BadValue', '1.29'],
    ['a place that does not enforce', 'spec: {enforcement: [{at: Node}]}', '4:27', 'BadValue', 'Sidecar'],
    [
      'the same pods twice, whatever the order of labels',
      'spec: {enforcement: [{at: Sidecar, namespace: a, selector: {matchLabels: {x: "1", y: "2"}}}, {at: Sidecar, namespace: a, selector: {matchLabels: {y: "2", x: "1"}}}]}',
      '4:94',
      'OverlappingScope',
      'enforcement[0]',
    ],
    [
      'a label that no pod can have',
      'spec: {enforcement: [{at: Sidecar, selector: {matchLabels: {x: "a b"}}}]}',
      '4:64',
      'BadName',
      '',
    ],
    [
      'a prefix for an address',
      'spec: {proxies: [{name: corp, addresses: [10.0.0.0/8]}]}',
      '4:43',
      'BadAddress',
      'without a prefix',
    ],
    [
      'the gateway without a namespace: its NetworkPolicy has to be in one',
      'spec: {extauthz: {identity: a.example}, enforcement: [{at: EgressGateway}]}',
      '4:55',
      'NoNamespace',
      'each namespace',
    ],
    [
      'the gateway where extauthz would not know who asks',
      'spec: {enforcement: [{at: EgressGateway, namespace: a}]}',
      '4:22',
      'NoIdentity',
      'spec.extauthz.identity',
    ],
    ['an identity that is none', 'spec: {extauthz: {identity: "spiffe://x"}}', '4:29', 'BadName', ''],
    [
      'a gateway that every pod would be',
      'spec: {egressGateway: {selector: {matchLabels: {}}}}',
      '4:48',
      'NoLabels',
      'labels of its pods',
    ],
    ['names to decrypt that are none', 'spec: {egressGateway: {inspect: {hosts: ["a b"]}}}', '4:42', 'BadHost', ''],
    [
      'a pattern for a waypoint',
      'spec: {enforcement: [{at: Waypoint, namespace: a, hosts: ["*.example"]}]}',
      '4:59',
      'BadHost',
      'each name',
    ],
    [
      'names that are to be decrypted and are not',
      'spec: {egressGateway: {inspect: {hosts: [a.example], except: [a.example]}}}',
      '4:63',
      'Contradiction',
      'one of the two',
    ],
    ['a waypoint without names', 'spec: {enforcement: [{at: Waypoint, namespace: a}]}', '4:22', 'NoHosts', 'hosts'],
    [
      'names where every name is asked about',
      'spec: {enforcement: [{at: Sidecar, namespace: a, hosts: [x.example]}]}',
      '4:57',
      'UnusedField',
      'Leave hosts out',
    ],
    [
      'pods of a waypoint',
      'spec: {enforcement: [{at: Waypoint, namespace: a, hosts: [x.example], selector: {matchLabels: {x: "1"}}}]}',
      '4:81',
      'UnusedField',
      'Leave selector out',
    ],
    ['a proxy twice', 'spec: {proxies: [{name: corp}, {name: corp}]}', '4:39', 'DuplicateProxy', ''],
    ['a timeout that is none', 'spec: {extauthz: {timeoutMs: 0}}', '4:30', 'BadNumber', ''],
    ['a name that could not be a Service', 'spec: {extauthz: {name: "a|b"}}', '4:25', 'BadName', ''],
    [
      'a namespace beside the whole mesh',
      'spec: {enforcement: [{at: Sidecar}, {at: Sidecar, namespace: a}]}',
      '4:37',
      'OverlappingScope',
      'enforcement[0]',
    ],
    [
      'labels that one pod can have both of',
      'spec: {enforcement: [{at: Sidecar, selector: {matchLabels: {x: "1"}}}, {at: Sidecar, selector: {matchLabels: {y: "1"}}}]}',
      '4:72',
      'OverlappingScope',
      'enforcement[0]',
    ],
  ])('%s is refused where it stands', (what, spec, place, code, says) => {
    const text = what === 'a namespace' ? HEAD.replace('{name: default}', '{name: default, namespace: a}') : HEAD;
    const {setups, findings} = loadDocuments([{file: 'mesh.yaml', text: `${text}${spec}`}]);
    expect(setups).toEqual([]);
    expect(findings.map(({code: found}) => found)).toEqual([code]);
    expect(formatFinding(findings[0]!)).toContain(`mesh.yaml:${place}: `);
    expect(formatFinding(findings[0]!)).toContain(says);
  });

  test('scopes that no pod can share stand side by side', () => {
    const {setups, findings} = load(
      'spec: {enforcement: [{at: Sidecar, namespace: a}, {at: Sidecar, namespace: b, selector: {matchLabels: {x: "1"}}}, {at: Sidecar, namespace: b, selector: {matchLabels: {x: "2"}}}]}',
    );
    expect([findings, setups[0]!.enforcement.length]).toEqual([[], 3]);
  });
});
