import {describe, expect, test} from '@jest/globals';
import type {KubernetesObject, V1TokenReviewStatus} from '@kubernetes/client-node';
import {callerOf, identityOfPod, mayAskForPods, ownIdentity, type Caller} from './judge.ts';

const EXTRA = {
  'authentication.kubernetes.io/pod-name': ['web-1'],
  'authentication.kubernetes.io/pod-uid': ['uid-1'],
  'authentication.kubernetes.io/node-name': ['node-1'],
};
type User = NonNullable<V1TokenReviewStatus['user']>;
const reviewed = (of: Partial<V1TokenReviewStatus> = {}, user: Partial<User> = {}): V1TokenReviewStatus => ({
  ...{authenticated: true, audiences: ['sallyport.dev/mtls']},
  user: {username: 'system:serviceaccount:shop:web', extra: EXTRA, ...user},
  ...of,
});
const caller: Caller = {
  ...{username: 'system:serviceaccount:shop:web', namespace: 'shop', serviceAccount: 'web'},
  ...{pod: {name: 'web-1', uid: 'uid-1'}, node: 'node-1'},
};

describe('who asks is what the API server says of his token', () => {
  test('a pod, its ServiceAccount and its node', () => {
    expect(callerOf(reviewed())).toEqual({kind: 'caller', caller});
  });

  test.each<[string, V1TokenReviewStatus | undefined, string]>([
    ['nothing was said', undefined, 'NotAuthenticated'],
    ['it is not known', reviewed({authenticated: false}), 'NotAuthenticated'],
    ['it is for the API server', reviewed({audiences: ['https://kubernetes.default.svc']}), 'WrongAudience'],
    ['the API server knows nothing of audiences', reviewed({audiences: []}), 'WrongAudience'],
    ['it is of a user', reviewed({}, {username: 'kubernetes-admin'}), 'NotAServiceAccount'],
    ['it is of a node', reviewed({}, {username: 'system:node:node-1'}), 'NotAServiceAccount'],
    ['its name is of another form', reviewed({}, {username: 'system:serviceaccount:shop:web:x'}), 'NotAServiceAccount'],
    ['it is of no pod', reviewed({}, {extra: {}}), 'TokenNotBound'],
    [
      'it is of two pods',
      reviewed({}, {extra: {...EXTRA, 'authentication.kubernetes.io/pod-name': ['a', 'b']}}),
      'TokenNotBound',
    ],
  ])('refused where %s', (_title, status, code) => {
    expect(callerOf(status)).toMatchObject({kind: 'refused', code});
  });

  test('his own identity is that of his ServiceAccount', () => {
    expect(ownIdentity(caller)).toEqual({kind: 'granted', namespace: 'shop', serviceAccount: 'web', pod: 'shop/web-1'});
  });
});

describe('an agent asks for pods of its node', () => {
  const agents = new Set(['system:serviceaccount:sallyport:sallyport-node']);
  const agent: Caller = {
    ...{username: 'system:serviceaccount:sallyport:sallyport-node', namespace: 'sallyport'},
    ...{serviceAccount: 'sallyport-node', pod: {name: 'agent', uid: 'u'}, node: 'node-1'},
  };
  const asked = {namespace: 'shop', name: 'web-1', uid: 'uid-1'};
  const pod = (spec: object = {}, metadata: object = {}, status: object = {}): KubernetesObject =>
    ({
      metadata: {namespace: 'shop', name: 'web-1', uid: 'uid-1', ...metadata},
      spec: {nodeName: 'node-1', serviceAccountName: 'web', ...spec},
      status: {phase: 'Running', ...status},
    }) as KubernetesObject;

  test('and nobody else asks for others', () => {
    expect(mayAskForPods(agent, agents)).toBeNull();
    expect(mayAskForPods(caller, agents)).toMatchObject({code: 'NotAnAgent'});
    expect(mayAskForPods({...agent, node: null}, agents)).toMatchObject({code: 'TokenNotBound'});
  });

  test('whose ServiceAccount is the one that the API server says', () => {
    expect(identityOfPod(agent, asked, pod())).toMatchObject({
      kind: 'granted',
      namespace: 'shop',
      serviceAccount: 'web',
    });
    expect(identityOfPod(agent, asked, pod({serviceAccountName: undefined}))).toMatchObject({
      serviceAccount: 'default',
    });
    expect(identityOfPod(agent, asked, pod({}, {}, {phase: 'Pending'}))).toMatchObject({kind: 'granted'});
  });

  test.each<[string, KubernetesObject | null, string]>([
    ['is not there', null, 'NoSuchPod'],
    ['is another of the same name', pod({}, {uid: 'uid-2'}), 'NoSuchPod'],
    ['runs on another node', pod({nodeName: 'node-2'}), 'WrongNode'],
    ['runs on no node yet', pod({nodeName: undefined}), 'WrongNode'],
    ['has ended', pod({}, {}, {phase: 'Succeeded'}), 'NoSuchPod'],
    ['has failed', pod({}, {}, {phase: 'Failed'}), 'NoSuchPod'],
    ["is on the node's network", pod({hostNetwork: true}), 'NoSuchPod'],
  ])('and none of one that %s', (_title, found, code) => {
    expect(identityOfPod(agent, asked, found)).toMatchObject({kind: 'refused', code});
  });

  test('one whose token says no node has none, not even of a pod of no node', () => {
    expect(identityOfPod({...agent, node: null}, asked, pod({nodeName: null}))).toMatchObject({code: 'WrongNode'});
  });
});
