import {describe, expect, test} from '@jest/globals';
import {readReview} from './review.ts';

const POD = {apiVersion: 'v1', kind: 'Pod', metadata: {name: 'web'}, spec: {containers: [{name: 'app'}]}};
const review = (request: object = {}): object => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: {uid: 'u-1', operation: 'CREATE', namespace: 'default', object: POD, ...request},
});
const mirror = {...POD, metadata: {annotations: {'kubernetes.io/config.mirror': 'x'}}};
const update = {operation: 'UPDATE', oldObject: POD};

describe('a review', () => {
  test.each<[string, unknown, RegExp]>([
    ['that is none', {kind: 'Pod'}, /no AdmissionReview/],
    ['of another version', {...review(), apiVersion: 'admission.k8s.io/v1beta1'}, /no AdmissionReview/],
    ['of another kind', {...review(), kind: 'ConversionReview'}, /no AdmissionReview/],
    ['without an id to answer to', review({uid: undefined}), /no AdmissionReview/],
    ['of another object', review({object: {...POD, kind: 'Deployment'}}), /no Pod/],
    ['of a pod without containers', review({object: {...POD, spec: {}}}), /no Pod/],
    ['of no object', review({object: null}), /no Pod/],
    ['without a namespace', review({namespace: ''}), /names no namespace/],
    ['of an operation that there is not', review({operation: 'PATCH'}), /neither CREATE nor UPDATE/],
    ['of a change without what was', review({operation: 'UPDATE'}), /without the pod as it was/],
    ['that is nothing', null, /no AdmissionReview/],
  ])('%s is refused, since nothing can be said of it', (_title, value, message) => {
    expect(readReview(value)).toEqual({bad: expect.stringMatching(message)});
  });

  test.each<[string, object, object]>([
    ['of a pod that is made', {}, {kind: 'create', pod: POD}],
    [
      'of a pod that has no metadata yet',
      {object: {kind: 'Pod', spec: {containers: []}}},
      {kind: 'create', pod: {metadata: {}}},
    ],
    [
      'that is only tried is answered like any other: we have no side effects',
      {dryRun: true},
      {kind: 'create', pod: POD},
    ],
    ['of a pod that changes', update, {kind: 'update', running: POD}],
    [
      'of containers that are added',
      {...update, subResource: 'ephemeralcontainers'},
      {kind: 'ephemeral', running: POD},
    ],
    ['of an end', {operation: 'DELETE', object: null, oldObject: POD}, {kind: 'skip', reason: 'NothingStarts'}],
    [
      'of an exec',
      {operation: 'CONNECT', subResource: 'exec', object: {kind: 'PodExecOptions'}},
      {kind: 'skip', reason: 'NothingStarts'},
    ],
    ['of a status', {...update, subResource: 'status'}, {kind: 'skip', reason: 'OtherSubresource'}],
    ['of a new size', {...update, subResource: 'resize'}, {kind: 'skip', reason: 'OtherSubresource'}],
    [
      "of a static pod's mirror, made by a node",
      {object: mirror, userInfo: {groups: ['system:nodes', 'system:authenticated']}},
      {kind: 'skip', reason: 'MirrorPod'},
    ],
    [
      'of a pod that calls itself a mirror is one of a pod that is made',
      {object: mirror, userInfo: {groups: ['system:authenticated']}},
      {kind: 'create', pod: mirror},
    ],
  ])('%s', (_title, request, expected) => {
    expect(readReview(review(request))).toMatchObject({uid: 'u-1', namespace: 'default', ...expected});
  });
});
