import {describe, expect, test} from '@jest/globals';
import type {KubernetesObject} from '@kubernetes/client-node';
import {guardOf, mtlsOf, podFacts} from './pod-facts.ts';

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
    asking: {},
    injectedForTproxy: false,
    injectedMtls: null,
    sidecar: false,
  });
});

describe('a pod that sends nothing as itself', () => {
  test.each<[string, KubernetesObject]>([
    ["has succeeded: its address may be another's", pod({status: {phase: 'Succeeded'}})],
    ['has failed', pod({status: {phase: 'Failed'}})],
    ["is on the node's network", pod({spec: {hostNetwork: true}})],
    ['has no name', {metadata: {namespace: 'default'}}],
  ])('%s', (_title, object) => {
    expect(podFacts(object)).toBeNull();
  });

  test('one that has no address yet is there, without', () => {
    expect(podFacts(pod({status: {phase: 'Pending', podIP: undefined, podIPs: undefined}}))).toMatchObject({ips: []});
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

describe('by whom it wants to be guarded', () => {
  const enabled = {'sallyport.dev/injection': 'enabled'};
  const tproxy = {'sallyport.dev/mode': 'tproxy'};
  const tutorial = {'initializer.kubernetes.io/tproxy': 'true'};
  const istio = {'istio-injection': 'enabled'};
  const sidecar = {containers: [{name: 'app'}, {name: 'istio-proxy'}]};
  interface Row {
    readonly labels?: object;
    readonly annotations?: object;
    readonly spec?: object;
    readonly namespace?: Record<string, string> | null;
  }
  test.each<[string, Row, string]>([
    ['nobody, without a word', {}, 'unasked'],
    ['us, by its label', {labels: tproxy}, 'asked'],
    ['us, by the annotation where its namespace lets it count', {annotations: tutorial, namespace: enabled}, 'asked'],
    ['not by the annotation elsewhere: the webhook would not have seen it', {annotations: tutorial}, 'unasked'],
    ['us, by the annotation while its namespace is not known', {annotations: tutorial, namespace: null}, 'asked'],
    ['us, by its namespace', {namespace: {...enabled, ...tproxy}}, 'asked'],
    ['us, by a word that does not exist', {labels: {'sallyport.dev/mode': 'tprox'}}, 'asked'],
    ['nobody: it has opted out', {labels: {...tproxy, 'sallyport.dev/inject': 'false'}}, 'unasked'],
    ['us: the webhook has put it under guard', {annotations: {'sallyport.dev/status': '{"mode":"tproxy"}'}}, 'asked'],
    [
      'nobody: the webhook gave it variables',
      {annotations: {'sallyport.dev/status': '{"mode":"proxy-env"}'}},
      'unasked',
    ],
    ['nobody: the status is not the webhook’s', {annotations: {'sallyport.dev/status': 'null'}}, 'unasked'],
    ['nobody: the status is no JSON', {annotations: {'sallyport.dev/status': '{'}}, 'unasked'],
    ['the mesh, by a sidecar', {spec: sidecar, namespace: istio}, 'sidecar'],
    ['the mesh, by a native sidecar', {spec: {initContainers: [{name: 'istio-proxy'}]}, namespace: istio}, 'sidecar'],
    ['the mesh, by a revision', {spec: sidecar, namespace: {'istio.io/rev': 'canary'}}, 'sidecar'],
    [
      'the mesh, where the namespace says so to us',
      {spec: sidecar, namespace: {'sallyport.dev/mode': 'mesh'}},
      'sidecar',
    ],
    ['nobody, where no administrator says so: anybody may call a container that', {spec: sidecar}, 'unasked'],
    ['nobody, by a label of its own', {spec: sidecar, labels: {...istio, 'sallyport.dev/mode': 'mesh'}}, 'unasked'],
    ['nobody, while its namespace is not known', {spec: sidecar, namespace: null}, 'unasked'],
    ['us, by its label, whatever sidecar it has', {labels: tproxy, spec: sidecar, namespace: istio}, 'asked'],
    [
      'us, also where it says that it captures itself: its policies would be those of its own namespace’s ConfigMap',
      {
        labels: {...tproxy, 'sallyport.dev/capture': 'pod'},
        annotations: {'sallyport.dev/status': '{"mode":"tproxy"}'},
        spec: {initContainers: [{name: 'sallyport-capture'}, {name: 'sallyport-proxy'}, {name: 'sallyport-guard'}]},
      },
      'asked',
    ],
    ['nobody: a label makes no sidecar', {labels: {'sallyport.dev/mode': 'mesh'}}, 'unasked'],
  ])('%s', (_title, {labels, annotations, spec, namespace = {}}, expected) => {
    expect(guardOf(podFacts(pod({metadata: {labels, annotations}, ...(spec && {spec})}))!, namespace)).toBe(expected);
  });
});

describe('what it says about mTLS', () => {
  const LABEL = 'sallyport.dev/mtls';
  const PORTS = 'sallyport.dev/mtls-plain-ports';
  const statusOf = (mtls: string, mtlsPlainPorts: number[] = []): Record<string, string> => ({
    'sallyport.dev/status': JSON.stringify({mode: 'tproxy', mtls, mtlsPlainPorts}),
  });
  const ENABLED = {'sallyport.dev/injection': 'enabled'};
  test.each<[string, {labels?: object; annotations?: object}, Record<string, string> | null, unknown]>([
    ['nothing', {}, {}, null],
    ['its label', {labels: {[LABEL]: 'Permissive'}}, {}, {mode: 'Permissive', plainPorts: []}],
    ['a word that does not exist is Strict', {labels: {[LABEL]: 'yes'}}, {}, {mode: 'Strict', plainPorts: []}],
    [
      'its annotation counts where the namespace lets it',
      {annotations: {[LABEL]: 'Strict'}},
      ENABLED,
      {mode: 'Strict', plainPorts: []},
    ],
    ['and nowhere else', {annotations: {[LABEL]: 'Strict'}}, {}, null],
    [
      'and while the namespace is not known yet',
      {annotations: {[LABEL]: 'Strict'}},
      null,
      {mode: 'Strict', plainPorts: []},
    ],
    ["its namespace's", {}, {...ENABLED, [LABEL]: 'Strict'}, {mode: 'Strict', plainPorts: []}],
    [
      "its own before its namespace's",
      {labels: {[LABEL]: 'Off'}},
      {...ENABLED, [LABEL]: 'Strict'},
      {mode: 'Off', plainPorts: []},
    ],
    [
      'ports that stay plain',
      {labels: {[LABEL]: 'Strict'}, annotations: {[PORTS]: '9090, 8081'}},
      {},
      {mode: 'Strict', plainPorts: [9090, 8081]},
    ],
    [
      'ports that cannot be read leave none plain',
      {labels: {[LABEL]: 'Strict'}, annotations: {[PORTS]: '9090, all'}},
      {},
      {mode: 'Strict', plainPorts: []},
    ],
    [
      'a label that was taken away frees nobody',
      {annotations: statusOf('Strict')},
      {},
      {mode: 'Strict', plainPorts: []},
    ],
    [
      'nor one that was changed',
      {labels: {[LABEL]: 'Off'}, annotations: statusOf('Strict')},
      {},
      {mode: 'Strict', plainPorts: []},
    ],
    [
      'but one that asks for more is heard',
      {labels: {[LABEL]: 'Strict'}, annotations: statusOf('Off')},
      {},
      {mode: 'Strict', plainPorts: []},
    ],
    [
      'a port that was added while it runs is not left plain, one that was taken away is taken',
      {labels: {[LABEL]: 'Strict'}, annotations: {...statusOf('Strict', [9090, 8081]), [PORTS]: '9090, 5432'}},
      {},
      {mode: 'Strict', plainPorts: [9090]},
    ],
  ])('%s', (_title, metadata, namespaceLabels, expected) => {
    const words = mtlsOf(podFacts(pod({metadata}))!, namespaceLabels);
    expect(words === null ? null : {mode: words.mode, plainPorts: [...words.plainPorts]}).toEqual(expected);
  });
});
