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

/** A captured pod as the API server has it after both webhooks. */
function captured(): Pod {
  const injected = inject(requestOf({'sallyport.dev/mode': 'tproxy'}).pod, NAMESPACE, INSTALLATION);
  return (injected as Injection & {kind: 'inject'}).pod;
}

describe('the last look at a captured pod', () => {
  test('passes what is as we made it', () => {
    expect(validate({...requestOf({}), pod: captured()}, NAMESPACE, INSTALLATION)).toEqual({
      ...{uid: 'u-1', allowed: true},
    });
  });

  test.each<[string, (pod: Pod) => void, RegExp]>([
    [
      'a container that was added after us has raw sockets',
      ({spec}) => void spec.containers.push({name: 'late'}),
      /container late has raw sockets: another webhook added it/,
    ],
    [
      'another webhook gave raw sockets back',
      ({spec}) => void (spec.containers[0]!.securityContext = {}),
      /container app has raw sockets: .*reinvocationPolicy: IfNeeded/,
    ],
  ])('refuses it where %s', (_title, change, message) => {
    const pod = captured();
    change(pod);
    expect(validate({...requestOf({}), pod}, NAMESPACE, INSTALLATION)).toMatchObject({
      allowed: false,
      status: {code: 403, message: expect.stringMatching(message)},
    });
  });
});

test.each(['sallyport-capture', 'sallyport-proxy'])(
  'a container that is called %s has no raw sockets either, where that is none of ours: the node captures its pod',
  (name) => {
    const spec = {containers: [{name: 'app'}], initContainers: [{name}]};
    const result = inject(requestOf({'sallyport.dev/mode': 'tproxy'}, spec).pod, NAMESPACE, INSTALLATION);
    expect(result).toMatchObject({
      pod: {spec: {initContainers: [{}, {name, securityContext: {capabilities: {drop: ['NET_RAW']}}}]}},
    });
  },
);

describe('ephemeral containers', () => {
  const running = captured();
  running.spec.ephemeralContainers = [{name: 'there'}];
  const adding = (pod: Partial<Pod> = {}): AdmissionRequest & {kind: 'ephemeral'} => ({
    ...{uid: 'u-1', namespace: 'default', kind: 'ephemeral', running},
    pod: {
      ...running,
      spec: {...running.spec, ephemeralContainers: [{name: 'there'}, {name: 'debug'}]},
      ...pod,
    },
  });
  const pathsOf = (request: AdmissionRequest & {kind: 'ephemeral'}): string[] => {
    const {patch} = mutate(request, NAMESPACE, INSTALLATION);
    return (JSON.parse(Buffer.from(patch!, 'base64').toString()) as {path: string}[]).map(({path}) => path);
  };

  test('are changed where they are new, and nothing else is', () => {
    expect(new Set(pathsOf(adding()).map((path) => path.split('/').slice(0, 4).join('/')))).toEqual(
      new Set(['/spec/ephemeralContainers/1']),
    );
  });

  test('are judged by what the pod asked for, whatever is sent along with them', () => {
    const free = adding({metadata: {labels: {}}});
    expect(pathsOf(free)).toContain('/spec/ephemeralContainers/1/securityContext');
    expect(validate(free, NAMESPACE, INSTALLATION)).toMatchObject({
      allowed: false,
      status: {message: expect.stringMatching(/container debug has raw sockets/)},
    });
  });

  test('may not take the name of the guard to keep their raw sockets', () => {
    const {spec} = running;
    const bare = {...running, spec: {...spec, initContainers: [], ephemeralContainers: []}};
    const pod = {...bare, spec: {...bare.spec, ephemeralContainers: [{name: 'sallyport-guard'}]}};
    expect(pathsOf({...adding(), running: bare, pod})).toContain('/spec/ephemeralContainers/0/securityContext');
  });
});

describe('a change of a pod that runs', () => {
  const running = captured();
  const relabelled = (labels: Record<string, string>): AdmissionRequest & {kind: 'update'} => ({
    ...{uid: 'u-1', namespace: 'default', kind: 'update', running},
    pod: {...running, metadata: {...running.metadata, labels}},
  });

  test('that takes it out of its guard is refused', () => {
    expect(validate(relabelled({}), NAMESPACE, INSTALLATION)).toMatchObject({
      allowed: false,
      status: {code: 403, message: expect.stringMatching(/which holds until it ends/)},
    });
  });

  test('of anything else passes, and none is patched', () => {
    const other = relabelled({...running.metadata.labels, version: '2'});
    expect(validate(other, NAMESPACE, INSTALLATION)).toEqual({uid: 'u-1', allowed: true});
    expect(mutate(relabelled({}), NAMESPACE, INSTALLATION)).toEqual({
      ...{uid: 'u-1', allowed: true, auditAnnotations: {skipped: 'Exists'}},
    });
  });
});
