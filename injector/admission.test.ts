import {describe, expect, test} from '@jest/globals';
import {mutate, validate} from './admission.ts';
import {inject, type Injection} from './inject.ts';
import type {Namespace, Pod} from './pod.ts';
import type {AdmissionRequest} from './review.ts';
import {readInstallation} from './settings.ts';

const INSTALLATION = readInstallation('defaults', '', new Map()).value!;
const NAMESPACE: Namespace = {name: 'default', labels: {}, annotations: {}};

const requestOf = (
  labels: Record<string, string>,
  spec: Partial<Pod['spec']> = {},
): AdmissionRequest & {kind: 'create'} => ({
  uid: 'u-1',
  namespace: 'default',
  kind: 'create',
  pod: {kind: 'Pod', metadata: {name: 'web', labels}, spec: {containers: [{name: 'app'}], ...spec}},
});

describe('the mutating answer', () => {
  test('for a pod that opts in is a JSON Patch', () => {
    const answer = mutate(requestOf({'sallyport.dev/inject': 'true'}), NAMESPACE, INSTALLATION);
    expect(answer).toMatchObject({
      uid: 'u-1',
      allowed: true,
      patchType: 'JSONPatch',
      auditAnnotations: {mode: 'proxy-env'},
    });
    const operations = JSON.parse(Buffer.from(answer.patch!, 'base64').toString()) as {op: string; path: string}[];
    expect(operations.map(({op, path}) => `${op} ${path}`)).toEqual([
      'add /metadata/labels/sallyport.dev~1mode',
      'add /metadata/annotations',
      'add /spec/containers/0/env',
      'add /spec/containers/0/volumeMounts',
      'add /spec/volumes',
    ]);
  });

  test('for a pod that does not is no patch, and the reason in the audit log', () => {
    expect(mutate(requestOf({}), NAMESPACE, INSTALLATION)).toEqual({
      uid: 'u-1',
      allowed: true,
      auditAnnotations: {skipped: 'NotAsked'},
    });
  });

  test('for a pod that could slip its guard is a refusal that says what to change', () => {
    const answer = mutate(requestOf({'sallyport.dev/mode': 'tproxy'}, {hostNetwork: true}), NAMESPACE, INSTALLATION);
    expect(answer).toMatchObject({
      allowed: false,
      status: {code: 403, message: expect.stringMatching(/Leave hostNetwork out/)},
    });
    expect(answer.patch).toBeUndefined();
  });

  test('for a pod that is injected already is empty', () => {
    const request = requestOf({'sallyport.dev/mode': 'tproxy'});
    const injected = inject(request.pod, NAMESPACE, INSTALLATION) as Injection & {kind: 'inject'};
    expect(mutate({...request, pod: injected.pod}, NAMESPACE, INSTALLATION)).toEqual({
      uid: 'u-1',
      allowed: true,
      auditAnnotations: {mode: 'tproxy'},
    });
  });
});

describe('the validating answer', () => {
  test('refuses what another webhook added after us', () => {
    const privileged = {containers: [{name: 'app', securityContext: {privileged: true}}]};
    const answer = validate(requestOf({'sallyport.dev/mode': 'tproxy'}, privileged), NAMESPACE, INSTALLATION);
    expect(answer).toMatchObject({allowed: false, status: {message: expect.stringMatching(/app is privileged/)}});
  });

  test('never patches', () => {
    expect(validate(requestOf({'sallyport.dev/inject': 'true'}), NAMESPACE, INSTALLATION)).toEqual({
      uid: 'u-1',
      allowed: true,
    });
  });
});
