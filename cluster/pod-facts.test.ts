import {describe, expect, test} from '@jest/globals';
import type {KubernetesObject} from '@kubernetes/client-node';
import {podFacts} from './pod-facts.ts';

const pod = (more: {metadata?: object; spec?: object; status?: object} = {}): KubernetesObject =>
  ({
    metadata: {
      namespace: 'default',
      name: 'web',
      uid: 'u',
      creationTimestamp: '2026-11-21T00:00:00Z',
      ...more.metadata,
    },
    spec: {nodeName: 'n1', serviceAccountName: 'robot', ...more.spec},
    status: {phase: 'Running', podIP: '10.1.0.7', podIPs: [{ip: '10.1.0.7'}, {ip: 'FD00:0::7'}], ...more.status},
  }) as unknown as KubernetesObject;

test('what matters of a pod, its addresses canonical and each once', () => {
  expect(podFacts(pod({metadata: {labels: {app: 'web'}}}))).toEqual({
    namespace: 'default',
    name: 'web',
    uid: 'u',
    labels: {app: 'web'},
    serviceAccount: 'robot',
    node: 'n1',
    ips: ['10.1.0.7', 'fd00::7'],
    trustsCa: false,
    createdAt: '2026-11-21T00:00:00.000Z',
  });
});

describe('a pod that sends nothing as itself', () => {
  test.each<[string, KubernetesObject]>([
    ['has no address yet', pod({status: {phase: 'Pending', podIP: undefined, podIPs: undefined}})],
    ["has succeeded: its address may be another's", pod({status: {phase: 'Succeeded'}})],
    ['has failed', pod({status: {phase: 'Failed'}})],
    ["is on the node's network", pod({spec: {hostNetwork: true}})],
    ['has no name', {metadata: {namespace: 'default'}}],
  ])('%s', (_title, object) => {
    expect(podFacts(object)).toBeNull();
  });

  test('a pod that is ending still sends', () => {
    expect(podFacts(pod({metadata: {deletionTimestamp: '2026-11-21T00:00:01Z'}}))).not.toBeNull();
  });
});

describe('whether its programs trust us', () => {
  test.each<[string, Record<string, string>, boolean]>([
    ['not without a word', {}, false],
    ['where it was injected', {'sallyport.dev/status': '{}'}, true],
    ['where it says so', {'sallyport.dev/trusts-ca': 'true'}, true],
    [
      'not where it was injected and says no',
      {'sallyport.dev/status': '{}', 'sallyport.dev/trusts-ca': 'false'},
      false,
    ],
  ])('%s', (_title, annotations, expected) => {
    expect(podFacts(pod({metadata: {annotations}}))!.trustsCa).toBe(expected);
  });
});
