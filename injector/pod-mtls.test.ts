import {describe, expect, test} from '@jest/globals';
import {parseFlags} from '../runtime/flags.ts';
import {tproxySettings} from '../tproxy/settings.ts';
import {POD_MTLS_FLAGS, podMtlsOf} from '../tproxy/mtls/pod-settings.ts';
import {inject} from './inject.ts';
import type {Container, Namespace, Pod} from './pod.ts';
import {readInstallation} from './settings.ts';

const installation = (text: string) => readInstallation('test.yaml', text, new Map()).value!;
const ON = installation('mtls: Enabled');
const MTLS = 'sallyport.dev/mtls';
const OPEN: Namespace = {name: 'shop', labels: {'sallyport.dev/injection': 'enabled'}, annotations: {}};

function pod(labels: Record<string, string> = {}, container: Partial<Container> = {}, annotations = {}): Pod {
  return {
    metadata: {
      ...{name: 'web', namespace: 'shop', annotations},
      labels: {'sallyport.dev/mode': 'tproxy', 'sallyport.dev/capture': 'pod', ...labels},
    },
    spec: {containers: [{name: 'app', image: 'example/app', securityContext: {runAsUser: 1000}, ...container}]},
  };
}
function made(one: Pod, of = ON, namespace = OPEN): Pod {
  const done = inject(one, namespace, of);
  if (done.kind !== 'inject') throw new Error(JSON.stringify(done));
  return done.pod;
}
const named = (of: Pod, name: string): Container => of.spec.initContainers!.find((one) => one.name === name)!;
const args = (of: Pod, name: string): string[] => named(of, name)['args'] as string[];
/** The value of a flag; null: it is not there. */
const flag = (of: Pod, name: string, of2: string): string | null => {
  const at = args(of, name).indexOf(of2);
  return at < 0 ? null : args(of, name)[at + 1]!;
};
const modeOf = (of: Pod): string | null => flag(of, 'sallyport-capture', '--mtls-mode');

describe('a pod that captures itself and speaks mTLS', () => {
  test('has flags that its rules and its proxy take', () => {
    const one = made(pod({[MTLS]: 'Strict'}, {}, {'sallyport.dev/mtls-plain-ports': '9090, 8081'}));
    const from = args(one, 'sallyport-capture').indexOf('--mtls-mode');
    const {settings, origin} = parseFlags('pod-rules', POD_MTLS_FLAGS, {
      argv: args(one, 'sallyport-capture').slice(from),
      env: {},
    });
    expect(podMtlsOf(settings, origin, ['10.0.0.7'])).toMatchObject({strict: true, plainPorts: [9090, 8081]});
    const {mtls, capture} = tproxySettings(args(one, 'sallyport-proxy').slice(1), {}, false);
    expect(capture).toBe('pod');
    expect(mtls).toEqual({
      identity: {
        ...{kind: 'issued', host: 'sallyport-issuer.sallyport.svc', port: 15085},
        ...{caFile: '/etc/sallyport/mtls/issuer-ca.crt', tokenFile: '/etc/sallyport/mtls/token'},
      },
      ...{trustDomain: 'cluster.local', defaultMode: 'Off', cidrs: [], peersFile: null},
    });
  });

  test('asks by a token of its own that is for nobody else, which its programs do not see', () => {
    const one = made(pod({[MTLS]: 'Strict'}));
    const volume = one.spec.volumes!.find(({name}) => name === 'sallyport-mtls') as unknown as {
      projected: {sources: [{serviceAccountToken: object}, object]};
    };
    expect(volume.projected.sources[0].serviceAccountToken).toMatchObject({audience: 'sallyport.dev/mtls'});
    const mounting = [...one.spec.initContainers!, ...one.spec.containers].filter(({volumeMounts = []}) =>
      volumeMounts.some(({name}) => name === 'sallyport-mtls'),
    );
    expect(mounting.map(({name}) => name)).toEqual(['sallyport-proxy']);
  });

  test.each<[string, string[], boolean]>([
    ['over its token and its CA', ['/etc/sallyport/mtls/'], false],
    ['above them', ['/etc/sallyport'], false],
    ['over one of them', ['/etc/sallyport/mtls/token'], false],
    ['over its keys, which are in /run', ['/run/sallyport/ca'], false],
    ['over them by the way that images have it', ['/var/run/sallyport/ca'], false],
    ['over what is above them', ['/var/run/secrets/../sallyport'], false],
    ['where accounts have their tokens', ['/var/run/secrets/kubernetes.io/serviceaccount'], true],
    ['there, as it is without a link', ['/run/secrets/eks.amazonaws.com/serviceaccount'], true],
    ['in another volume, whose link leads anywhere', ['/var/run/secrets/x', '/run/secrets/x/link'], false],
    ['over another one', ['/var/run/secrets/x', '/run/secrets/x/'], false],
    ['above another one', ['/var/run/secrets/x/y', '/var/run/secrets/'], false],
  ])('with a mount of its author’s %s (%j): taken is %s', (_title, paths, taken) => {
    const one = made(pod({[MTLS]: 'Strict'}));
    const proxy = named(one, 'sallyport-proxy');
    for (const mountPath of paths) proxy.volumeMounts!.push({name: 'own', mountPath});
    const done = inject(one, OPEN, ON);
    expect(done.kind).toBe(taken ? 'inject' : 'refuse');
    if (done.kind === 'refuse')
      expect(done.messages.join()).toMatch(/sallyport-proxy is not as it is put in \(volumeMounts\)/);
  });

  test('gives its proxy raw sockets, and what it needs to be nobody but itself', () => {
    const proxy = named(made(pod({[MTLS]: 'Strict'})), 'sallyport-proxy');
    expect(proxy.securityContext).toMatchObject({
      ...{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true},
      capabilities: {drop: ['ALL'], add: ['NET_RAW', 'SETGID', 'SETPCAP', 'SETUID']},
    });
    expect(proxy['command']).toBeUndefined();
  });

  test('names the ports where the kubelet speaks to it, by number or by name, and not those of ours', () => {
    const one = made(
      pod(
        {[MTLS]: 'Strict'},
        {
          ports: [{name: 'web', containerPort: 8080}],
          livenessProbe: {httpGet: {port: 'web', path: '/'}},
          readinessProbe: {tcpSocket: {port: 8081}},
          startupProbe: {grpc: {port: 8082}},
          lifecycle: {preStop: {httpGet: {port: '8083'}}, postStart: {httpGet: {port: 'nobody'}}},
        },
      ),
    );
    expect(flag(one, 'sallyport-capture', '--mtls-probe-port')).toBe('8080,8081,8082,8083');
  });

  test.each<[string, Pod, string, string | null]>([
    ['its own word', pod({[MTLS]: 'Permissive'}), 'mode: Strict', 'Permissive'],
    ["the installation's, where it says nothing", pod(), 'mode: Strict', 'Strict'],
    ['Off', pod({[MTLS]: 'Off'}), 'mode: Strict', null],
    ['Off, whatever its address is', pod({[MTLS]: 'Off'}), 'cidrs: ["10.0.0.0/8=Strict"]', null],
    ['nothing anywhere', pod(), 'mode: "Off"', null],
    ['that of its address, where nothing else is said', pod(), 'cidrs: ["10.0.0.0/8=Strict"]', 'Off'],
  ])('speaks it by %s', (_title, one, mtls, mode) => {
    const done = made(one, installation(`mtls: Enabled\npodCapture: {mtls: {${mtls}}}`));
    expect(modeOf(done)).toBe(mode);
    expect(args(done, 'sallyport-proxy').includes('--mtls')).toBe(mode !== null);
    expect(named(done, 'sallyport-proxy').securityContext!.runAsUser).toBe(mode === null ? 15080 : 0);
    expect(flag(done, 'sallyport-capture', '--mtls-cidr')).toBe(mode === 'Off' ? '10.0.0.0/8=Strict' : null);
  });

  test("or by its namespace's", () => {
    const namespace = {...OPEN, labels: {...OPEN.labels, [MTLS]: 'Strict'}};
    expect(modeOf(made(pod(), ON, namespace))).toBe('Strict');
  });

  test('injected twice is injected once', () => {
    const once = made(pod({[MTLS]: 'Strict'}, {readinessProbe: {httpGet: {port: 8080}}}));
    expect(made(once)).toEqual(once);
  });

  test('speaks none where nobody issues', () => {
    const done = made(pod(), installation('podCapture: {mtls: {mode: Strict}}'));
    expect(modeOf(done)).toBeNull();
    expect(inject(pod({[MTLS]: 'Strict'}), OPEN, installation('')).kind).toBe('refuse');
  });
});
