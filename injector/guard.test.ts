import {describe, expect, test} from '@jest/globals';
import {validate} from './admission.ts';
import {GUARD_CONTAINER, guardContainer, guardFaults, placeGuard} from './guard.ts';
import {inject} from './inject.ts';
import type {Container, Namespace, Pod} from './pod.ts';
import {readInstallation} from './settings.ts';

const CONFIG = `
guard:
  image: registry.example/sallyport:1.2
  imagePullPolicy: Always
  timeoutSeconds: 30
  resources: {limits: {memory: 200Mi}}
`;
const INSTALLATION = readInstallation('config.yaml', CONFIG, new Map()).value!;
const NAMESPACE: Namespace = {name: 'default', labels: {}, annotations: {}};
const GUARDED = {'sallyport.dev/mode': 'tproxy'};

const pod = (spec: Partial<Pod['spec']> = {}, labels: Record<string, string> = GUARDED): Pod => ({
  metadata: {name: 'web', labels},
  spec: {containers: [{name: 'app'}], ...spec},
});
/** As the API server stores what we made. */
function made(of: Pod = pod()): Pod {
  const result = inject(of, NAMESPACE, INSTALLATION);
  if (result.kind !== 'inject') throw new Error(JSON.stringify(result));
  return result.pod;
}
const guardOf = (of: Pod): Container => of.spec.initContainers!.find(({name}) => name === GUARD_CONTAINER)!;
const namesOf = (of: Pod): string[] => (of.spec.initContainers ?? []).map(({name}) => name);
/** What the validating webhook says of a pod that was changed after us. */
function refused(change: (pod: Pod) => void): string {
  const changed = made(pod({initContainers: [{name: 'migrate'}]}));
  change(changed);
  const answer = validate({kind: 'create', uid: 'u', namespace: 'default', pod: changed}, NAMESPACE, INSTALLATION);
  return answer.allowed ? 'allowed' : answer.status!.message;
}

describe('a captured pod', () => {
  test('has the guard in front of every init container', () => {
    expect(namesOf(made(pod({initContainers: [{name: 'migrate'}, {name: 'istio-init'}]})))).toEqual([
      'sallyport-guard',
      'migrate',
      'istio-init',
    ]);
  });

  test('also by the annotation of the tutorial', () => {
    const tutorial: Pod = {...pod({}, {}), metadata: {annotations: {'initializer.kubernetes.io/tproxy': 'true'}}};
    const result = inject(tutorial, {...NAMESPACE, labels: {'sallyport.dev/injection': 'enabled'}}, INSTALLATION);
    expect(result.kind === 'inject' && namesOf(result.pod)).toEqual(['sallyport-guard']);
  });

  test.each(['proxy-env', 'mesh'])('in mode %s has none: nobody captures it on its node', (mode) => {
    expect(namesOf(made(pod({}, {'sallyport.dev/mode': mode})))).toEqual([]);
  });

  test('gets it back to the front when another injector put one before it', () => {
    const once = made();
    once.spec.initContainers!.unshift({name: 'istio-init'});
    expect(namesOf(made(once))).toEqual(['sallyport-guard', 'istio-init']);
  });

  test('that does not trust the CA can still have its capture proved', () => {
    const distrusts = pod();
    distrusts.metadata.annotations = {'sallyport.dev/trusts-ca': 'false'};
    expect(made(distrusts).spec.volumes!.map(({name}) => name)).toEqual(['sallyport-guard']);
  });
});

describe('the guard', () => {
  test('is as the installation says', () => {
    expect(guardContainer(INSTALLATION)).toMatchObject({
      image: 'registry.example/sallyport:1.2',
      imagePullPolicy: 'Always',
      args: ['guard', '--ca', '/etc/sallyport/trust/ca.crt', '--timeout', '30'],
      resources: {limits: {memory: '200Mi'}, requests: {cpu: '10m', memory: '64Mi'}},
    });
  });

  test('is what the restricted Pod Security Standard lets into any namespace', () => {
    expect(guardContainer(INSTALLATION).securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: 65532,
      runAsGroup: 65532,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: {drop: ['ALL']},
      seccompProfile: {type: 'RuntimeDefault'},
    });
  });

  test('is neither told of a proxy nor given the variables of trust', () => {
    expect(guardOf(made()).env!.map(({name}) => name)).toEqual([
      'SALLYPORT_POD_UID',
      'SALLYPORT_POD_IPS',
      'SALLYPORT_NODE_IPS',
      'SALLYPORT_NODE_NAME',
    ]);
  });

  test.each<[string, (guard: Container) => void]>([
    ['defaults of the API server', (guard) => Object.assign(guard, {terminationMessagePath: '/dev/termination-log'})],
    [
      'the version of a field',
      (guard) => Object.assign(guard.env![0]!.valueFrom!, {fieldRef: {apiVersion: 'v1', fieldPath: 'metadata.uid'}}),
    ],
    ["a LimitRange's resources", (guard) => Object.assign(guard, {resources: {limits: {cpu: '1'}}})],
    ["AlwaysPullImages' policy", (guard) => Object.assign(guard, {imagePullPolicy: 'IfNotPresent'})],
    [
      'a service account token',
      (guard) => guard.volumeMounts!.push({name: 't', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount'}),
    ],
    ["a cloud identity's variables", (guard) => guard.env!.push({name: 'AWS_ROLE_ARN', value: 'arn'})],
  ])('with %s is as it was put in', (_title, change) => {
    expect(refused((changed) => change(guardOf(changed)))).toBe('allowed');
  });
});

describe('the last look refuses a pod', () => {
  test.each<[string, (pod: Pod) => void, RegExp]>([
    ['without its guard', ({spec}) => void spec.initContainers!.shift(), /there is no init container sallyport-guard/],
    [
      'with an init container before it',
      ({spec}) => void spec.initContainers!.unshift({name: 'first', securityContext: {capabilities: {drop: ['ALL']}}}),
      /the init container first runs before sallyport-guard/,
    ],
    [
      'whose guard has another image',
      (p) => void (guardOf(p)['image'] = 'example/yes'),
      /not as it is put in \(image\)/,
    ],
    [
      'whose guard has another program',
      (p) => void (guardOf(p)['command'] = ['true']),
      /not as it is put in \(command\)/,
    ],
    [
      'whose guard asks for less',
      (p) => void (guardOf(p)['args'] = ['guard', '--help']),
      /not as it is put in \(args\)/,
    ],
    [
      'whose guard never ends',
      (p) => void (guardOf(p)['restartPolicy'] = 'Always'),
      /not as it is put in \(restartPolicy\)/,
    ],
    ...[
      'NODE_OPTIONS',
      'PATH',
      'UV_THREADPOOL_SIZE',
      'GLIBC_TUNABLES',
      'HOSTALIASES',
      'RES_OPTIONS',
      'LOCALDOMAIN',
      'FOO',
    ].map((name): [string, (pod: Pod) => void, RegExp] => [
      `whose guard is steered by ${name}`,
      (p) => void guardOf(p).env!.push({name, value: '/var/run/secrets/x'}),
      /\(env\)/,
    ]),
    [
      'whose guard is another pod',
      (p) => void (guardOf(p).env![0] = {name: 'SALLYPORT_POD_UID', value: 'x'}),
      /\(env\)/,
    ],
    ['whose guard reads variables from elsewhere', (p) => void (guardOf(p)['envFrom'] = [{}]), /\(envFrom\)/],
    [
      'whose guard has another file over its program',
      (p) => void guardOf(p).volumeMounts!.push({name: 'x', mountPath: '/app'}),
      /\(volumeMounts\)/,
    ],
    [
      'whose guard has a file over its program, by a path that only begins as a harmless one',
      (p) => void guardOf(p).volumeMounts!.push({name: 'x', mountPath: '/var/run/secrets/../../../opt/sallyport'}),
      /\(volumeMounts\)/,
    ],
    [
      'whose guard has an empty file over its program: the kubelet mounts one where its last words go',
      (p) => void (guardOf(p)['terminationMessagePath'] = '/opt/sallyport/cli/sallyport.mjs'),
      /\(terminationMessagePath\)/,
    ],
    ['whose guard has privileges', (p) => void (guardOf(p).securityContext = {}), /\(securityContext\)/],
    [
      'whose guard trusts another CA',
      ({spec}) => void (spec.volumes!.find(({name}) => name === 'sallyport-guard')!['configMap'] = {name: 'mine'}),
      /the volume sallyport-guard is not as/,
    ],
    [
      'with another container of the name',
      ({spec}) => void spec.containers.push({name: GUARD_CONTAINER}),
      /is ours\. Rename it/,
    ],
  ])('%s', (_title, change, message) => {
    expect(refused(change)).toMatch(message);
  });
});

describe('an author who uses our names is told so', () => {
  test.each<[string, Partial<Pod['spec']>, RegExp]>([
    ['for a container', {containers: [{name: GUARD_CONTAINER}]}, /a container has the name sallyport-guard/],
    ['for an init container', {initContainers: [{name: GUARD_CONTAINER}]}, /not as it is put in \(.*image.*\)/],
    [
      'twice',
      {initContainers: [guardContainer(INSTALLATION), guardContainer(INSTALLATION)]},
      /a container has the name sallyport-guard/,
    ],
    ['for a volume', {volumes: [{name: 'sallyport-guard', emptyDir: {}}]}, /the volume sallyport-guard/],
  ])('%s', (_title, spec, message) => {
    expect(placeGuard(pod(spec), INSTALLATION, {mode: null, plainPorts: []}).join()).toMatch(message);
  });

  test('a pod that runs is left with the guard that it had: another version of us may have made it', () => {
    const running = made();
    guardOf(running)['image'] = 'registry.example/sallyport:1.1';
    const added: Pod = {...running, spec: {...running.spec, ephemeralContainers: [{name: 'debug'}]}};
    expect(inject(added, NAMESPACE, INSTALLATION, running).kind).toBe('inject');
    expect(guardFaults({...running, spec: {...running.spec, initContainers: []}})).not.toEqual([]);
  });
});
