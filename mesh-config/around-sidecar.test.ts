import {describe, expect, test} from '@jest/globals';
import {loadDocuments} from '../policy/index.ts';
import {aroundSidecar} from './around-sidecar.ts';
import {askingPod} from './pods.ts';
import type {Pod, Surroundings} from './surroundings.ts';
import {NOTHING} from './testing/nothing.ts';

const HEAD = 'apiVersion: sallyport.dev/v1alpha1\nkind: MeshEgress\nmetadata: {name: default}\n';
const meshOf = (enforcement: string) =>
  loadDocuments([
    {
      file: 'mesh.yaml',
      text: `${HEAD}spec: {extauthz: {identity: extauthz.test}, enforcement: [${enforcement}]}\n`,
    },
  ]).setups[0]!;
const SHOP = '{at: Sidecar, namespace: shop}';
const EVERYWHERE = '{at: Sidecar}';

interface Written {
  readonly name?: string;
  readonly namespace?: string;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly containers?: readonly object[];
  readonly proxy?: object | null;
  readonly spec?: object;
  readonly phase?: string;
}
/** As the API server gives it. */
const pod = ({
  name = 'web',
  namespace = 'shop',
  labels = {},
  annotations = {},
  containers = [{name: 'app'}],
  proxy = {name: 'istio-proxy', restartPolicy: 'Always'},
  spec = {},
  phase = 'Running',
}: Written = {}): readonly Pod[] =>
  askingPod({
    metadata: {name, namespace, labels, annotations},
    spec: {
      containers,
      initContainers: [
        {name: 'istio-init', securityContext: {capabilities: {add: ['NET_ADMIN']}}},
        ...(proxy === null ? [] : [proxy]),
      ],
      ...spec,
    },
    status: {phase},
  } as never);
const found = (pods: readonly Pod[], enforcement = SHOP, around: Partial<Surroundings> = {}) =>
  aroundSidecar(meshOf(enforcement), {...NOTHING, pods, ...around}).map(
    ({code, object, message}) => `${code}: ${object}: ${message}`,
  );

describe('a pod where sidecars ask', () => {
  test('with its sidecar, as Istio injects it, is as it should be', () => {
    expect(
      found([...pod(), ...pod({name: 'classic', containers: [{name: 'app'}, {name: 'istio-proxy'}], proxy: null})]),
    ).toEqual([]);
  });

  test.each<[string, Written, string]>([
    ['that was not injected', {}, 'there is no sidecar'],
    ['that says that it is not to be', {annotations: {'sidecar.istio.io/inject': 'false'}}, 'there is no sidecar'],
    ['on the node’s network', {spec: {hostNetwork: true}}, "on the node's network there is no sidecar"],
    ['that is only about to start', {phase: 'Pending'}, 'there is no sidecar'],
  ])('%s has nobody who asks', (_what, written, says) => {
    expect(found(pod({proxy: null, ...written}))).toEqual([
      `WithoutSidecar: Pod shop/web: ${says}: what leaves is asked about by nobody`,
    ]);
  });

  test('many of one fault are one finding', () => {
    const pods = ['a', 'b', 'c', 'd', 'e'].flatMap((name) => pod({name, proxy: null}));
    expect(found(pods)).toEqual([expect.stringContaining('Pod shop/a, b, c and 2 more: there is no sidecar')]);
  });

  test.each<[string, Written, string, Partial<Surroundings>?]>([
    ['of another namespace', {namespace: 'bank'}, SHOP],
    ['of the system', {namespace: 'kube-system'}, EVERYWHERE],
    ['of Istio itself', {namespace: 'istio-system'}, EVERYWHERE],
    ['of extauthz', {namespace: 'sallyport'}, EVERYWHERE],
    ['that has ended', {phase: 'Succeeded'}, SHOP],
    [
      'with other labels',
      {labels: {egress: 'free'}},
      '{at: Sidecar, namespace: shop, selector: {matchLabels: {egress: asked}}}',
    ],
    ['behind the gateway, which the NetworkPolicy holds', {}, '{at: EgressGateway, namespace: shop}'],
    ['that the node captures', {labels: {'sallyport.dev/mode': 'tproxy'}}, SHOP],
    [
      'of a namespace that the node captures',
      {},
      SHOP,
      {namespaces: new Map([['shop', {'sallyport.dev/mode': 'tproxy'}]])},
    ],
  ])('and one without a sidecar %s is none', (_what, written, enforcement, around = {}) => {
    expect(found(pod({proxy: null, ...written}), enforcement, around)).toEqual([]);
  });

  test('a mesh for every namespace wants a sidecar in every other', () => {
    for (const enforcement of [EVERYWHERE, '{at: Sidecar, namespace: istio-system}'])
      expect(found(pod({namespace: 'bank', proxy: null}), enforcement)).toHaveLength(1);
  });
});

describe('what leaves past a sidecar', () => {
  test.each([
    ['traffic.sidecar.istio.io/excludeOutboundPorts', '5432', ''],
    ['traffic.sidecar.istio.io/excludeOutboundIPRanges', '0.0.0.0/0', ' '],
    ['traffic.sidecar.istio.io/includeOutboundIPRanges', '', '*'],
    ['traffic.sidecar.istio.io/includeOutboundIPRanges', '10.0.0.0/8', '*'],
    ['traffic.sidecar.istio.io/excludeInterfaces', 'eth1', ''],
    ['traffic.sidecar.istio.io/kubevirtInterfaces', 'tap0', ''],
    ['istio.io/reroute-virtual-interfaces', 'tap0', ''],
    ['sidecar.istio.io/interceptionMode', 'NONE', 'TPROXY'],
    ['proxy.istio.io/config', '{"interceptionMode": "NONE"}', 'interceptionMode: REDIRECT'],
    ['proxy.istio.io/config', 'interceptionMode: NONE', '{"concurrency": 2}'],
  ])('by %s: %s', (name, value, harmless) => {
    expect(found(pod({annotations: {[name]: value}}))).toEqual([
      expect.stringContaining(`AroundSidecar: Pod shop/web: by its annotation ${name}`),
    ]);
    expect(found(pod({annotations: {[name]: harmless}}))).toEqual([]);
  });

  test.each<[string, Written, string]>([
    ['the proxy’s user', {containers: [{name: 'app', securityContext: {runAsUser: 1337}}]}, 'user 1337'],
    ['the proxy’s group', {containers: [{name: 'app', securityContext: {runAsGroup: 1337}}]}, 'group 1337'],
    ['the proxy’s user, by its pod', {spec: {securityContext: {runAsUser: 1337}}}, 'user 1337'],
    [
      'the user that the proxy was given',
      {
        proxy: {name: 'istio-proxy', securityContext: {runAsUser: 1000650001}},
        containers: [{name: 'app', securityContext: {runAsUser: 1000650001}}],
      },
      'user 1000650001',
    ],
    [
      'the proxy’s user, put into it later',
      {spec: {ephemeralContainers: [{name: 'app', securityContext: {runAsUser: 1337}}]}, containers: []},
      'user 1337',
    ],
    ['NET_ADMIN', {containers: [{name: 'app', securityContext: {capabilities: {add: ['NET_ADMIN']}}}]}, 'NET_ADMIN'],
    [
      'CAP_NET_ADMIN',
      {containers: [{name: 'app', securityContext: {capabilities: {add: ['CAP_NET_ADMIN']}}}]},
      'NET_ADMIN',
    ],
    ['every capability', {containers: [{name: 'app', securityContext: {capabilities: {add: ['ALL']}}}]}, 'NET_ADMIN'],
    ['all privileges', {containers: [{name: 'app', securityContext: {privileged: true}}]}, 'privileged'],
  ])('by a container with %s', (_what, written, says) => {
    expect(found(pod(written))).toEqual([expect.stringMatching(/^AroundSidecar: Pod shop\/web: its container app /)]);
    expect(found(pod(written))[0]).toContain(says);
  });

  test('a container of another user is let be', () => {
    const securityContext = {
      runAsUser: 1000,
      runAsGroup: 1000,
      capabilities: {add: ['NET_BIND_SERVICE'], drop: ['ALL']},
    };
    expect(found(pod({containers: [{name: 'app', securityContext}]}))).toEqual([]);
  });

  test.each<[string, object, number]>([
    ['nothing', {includeIPRanges: '*', excludeIPRanges: '', excludeOutboundPorts: ''}, 0],
    ['addresses', {excludeIPRanges: '10.0.0.0/8'}, 1],
    ['ports', {excludeOutboundPorts: '5432'}, 1],
    ['a port, as a number', {excludeOutboundPorts: 5432}, 1],
    ['all but some addresses', {includeIPRanges: '10.0.0.0/8'}, 1],
  ])('the injector leaves out %s, of every pod', (_what, proxy, count) => {
    const injection = JSON.stringify({global: {proxy}});
    expect(found([], SHOP, {injection})).toHaveLength(count);
  });

  test('values that cannot be read are said', () => {
    expect(found([], SHOP, {injection: '{'})).toEqual([expect.stringMatching(/^MeshUnreadable: /)]);
    expect(found([], SHOP, {injection: ''})).toEqual([]);
  });
});
