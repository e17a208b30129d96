import {describe, expect, test} from '@jest/globals';
import {clusterDocument} from '../cluster/documents.ts';
import {loadDocuments, type Document} from '../policy/index.ts';
import type {WorkloadEntry} from '../sources/workload-table.ts';
import type {Hold, Member} from './capture/config.ts';
import {nodeReport} from './node-report.ts';

const object = (namespace: string | null, name: string, podSelector: object, generation = 1): Document =>
  clusterDocument(
    {
      metadata: {name, uid: `uid-${name}`, generation, ...(namespace === null ? {} : {namespace})},
      ...{spec: {podSelector, rules: []}},
    },
    namespace === null ? 'ClusterEgressPolicy' : 'EgressPolicy',
  ).document!;
const pod = (namespace: string, name: string): WorkloadEntry => ({
  workload: {
    ...{namespace, name, uid: `uid-${name}`, labels: {app: name}, namespaceLabels: {}},
    ...{serviceAccount: 'default', node: 'one', trustsCa: false},
  },
  ...{ips: ['10.0.0.1'], interface: null, guarded: 'asked'},
});
const member = (uid: string, mode: Hold, ip = '10.0.0.1'): Member => ({ip, interface: null, mode, uid});
const of = (documents: readonly Document[], workloads: readonly WorkloadEntry[], held: readonly Member[] = []) =>
  nodeReport({
    ...{version: '1', bootId: 'b', ready: true, held, missingRefs: []},
    known: {documents, workloads, notLoaded: []},
  });

describe("a node's report", () => {
  test('names the policies that select a pod of the node, with the generation in force, and no others', () => {
    const documents = [
      object('a', 'mine', {}, 7),
      object('b', 'elsewhere', {}),
      object('a', 'other-pods', {matchLabels: {app: 'other'}}),
      object(null, 'all', {}, 2),
    ];
    expect(of(documents, [pod('a', 'web')]).policies).toEqual([
      {kind: 'ClusterEgressPolicy', namespace: null, name: 'all', uid: 'uid-all', generation: 2},
      {kind: 'EgressPolicy', namespace: 'a', name: 'mine', uid: 'uid-mine', generation: 7},
    ]);
    expect(of(documents, []).policies).toEqual([]);
  });

  test('is the same whatever order things are known in', () => {
    const documents = [object('a', 'p', {}), object('a', 'q', {}), object(null, 'r', {})];
    const pods = [pod('a', 'x'), pod('a', 'y')];
    const held = [member('2', 'locked'), member('1', 'locked')];
    const turned = of([...documents].reverse(), [...pods].reverse(), [...held].reverse());
    expect(turned).toEqual(of(documents, pods, held));
    expect(turned.locked).toEqual(['1', '2']);
  });

  test('says of a pod the least of what is said of its addresses, and nothing of those that are free or a sidecar’s', () => {
    const held = [
      ...[member('both', 'locked'), member('both', 'locked', 'fd00::1')],
      ...[member('half', 'locked'), member('half', 'captured', 'fd00::2')],
      ...[member('open', 'locked'), member('open', 'free', 'fd00::3')],
      ...[member('mesh', 'sidecar'), member('free', 'free')],
    ];
    expect(of([], [], held)).toMatchObject({locked: ['both'], captured: ['half']});
  });

  test('leaves out what came from files', () => {
    const text =
      'apiVersion: sallyport.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: p, namespace: a}\nspec: {podSelector: {}, rules: []}\n';
    const {documents} = loadDocuments([{file: 'p.yaml', text}]);
    expect(of(documents, [pod('a', 'web')]).policies).toEqual([]);
  });
});
