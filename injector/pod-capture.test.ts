import {describe, expect, test} from '@jest/globals';
import {tproxySettings} from '../tproxy/settings.ts';
import {guardFaults} from './guard.ts';
import {inject} from './inject.ts';
import type {Container, Namespace, Pod, SecurityContext} from './pod.ts';
import {readInstallation} from './settings.ts';

const INSTALLATION = readInstallation('config.yaml', '', new Map()).value!;
const OPEN: Namespace = {name: 'default', labels: {'sallyport.dev/injection': 'enabled'}, annotations: {}};
const SELF = {'sallyport.dev/mode': 'tproxy', 'sallyport.dev/capture': 'pod'};

const pod = (container: Partial<Container> = {}, spec: Partial<Pod['spec']> = {}): Pod => ({
  metadata: {name: 'self', labels: {...SELF}},
  spec: {securityContext: {runAsUser: 1000}, containers: [{name: 'app', ...container}], ...spec},
});
const made = (of: Pod): Pod => {
  const result = inject(of, OPEN, INSTALLATION);
  if (result.kind !== 'inject') throw new Error(JSON.stringify(result));
  return result.pod;
};
const named = (of: Pod, name: string): Container =>
  [...of.spec.initContainers!, ...of.spec.containers].find((one) => one.name === name)!;

describe('a pod that captures itself', () => {
  test('starts its rules, then its proxy, then the guard, then its own', () => {
    const {spec} = made(pod({}, {initContainers: [{name: 'migrate'}]}));
    expect(spec.initContainers!.map(({name}) => name)).toEqual([
      'sallyport-capture',
      'sallyport-proxy',
      'sallyport-guard',
      'migrate',
    ]);
  });

  test('says so by an annotation too, which becomes a label: that is latched', () => {
    const annotated = pod();
    annotated.metadata.labels = {'sallyport.dev/mode': 'tproxy'};
    annotated.metadata.annotations = {'sallyport.dev/capture': 'pod'};
    expect(made(annotated).metadata.labels).toMatchObject(SELF);
  });

  test('gives NET_ADMIN to the container of the rules, which ends, and privileges to nobody', () => {
    const all = made(pod());
    expect(named(all, 'sallyport-capture').securityContext!.capabilities).toEqual({drop: ['ALL'], add: ['NET_ADMIN']});
    expect(named(all, 'sallyport-capture')['restartPolicy']).toBeUndefined();
    expect(named(all, 'sallyport-proxy').securityContext!.capabilities).toEqual({drop: ['ALL']});
    expect(named(all, 'sallyport-proxy')['restartPolicy']).toBe('Always');
    for (const name of ['sallyport-capture', 'sallyport-proxy', 'sallyport-guard'])
      expect(named(all, name).securityContext).toMatchObject({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
      });
  });

  test('keeps the keys where nobody else looks: the certificates alone are shared', () => {
    const all = made(pod());
    const mounts = (name: string): string[] => (named(all, name).volumeMounts ?? []).map((mount) => mount.name);
    expect(mounts('app')).toEqual(['sallyport-trust']);
    expect(mounts('sallyport-guard')).toEqual(['sallyport-trust']);
    expect(mounts('sallyport-proxy')).toContain('sallyport-run');
    expect(all.spec.volumes!.find(({name}) => name === 'sallyport-run')).toEqual({
      name: 'sallyport-run',
      emptyDir: {medium: 'Memory'},
    });
  });

  test('has containers that cannot become another user', () => {
    expect(named(made(pod()), 'app').securityContext).toEqual({
      capabilities: {drop: ['NET_RAW', 'SETUID']},
      allowPrivilegeEscalation: false,
    });
  });

  test('tells its proxy what of the cluster is whose: a node is no destination like any other', () => {
    const cluster =
      'cluster: {domain: corp.internal, serviceCidrs: [10.96.0.0/12], nodeCidrs: [10.0.0.0/24, fd00::/64]}';
    const result = inject(pod(), OPEN, readInstallation('config.yaml', cluster, new Map()).value!);
    if (result.kind !== 'inject') throw new Error(JSON.stringify(result));
    const {installation} = tproxySettings(
      (named(result.pod, 'sallyport-proxy')['args'] as string[]).slice(1),
      {},
      false,
    );
    expect(installation).toMatchObject({
      ...{clusterDomain: 'corp.internal', serviceCidrs: ['10.96.0.0/12'], podCidrs: []},
      nodeCidrs: expect.arrayContaining(['10.0.0.0/24', 'fd00::/64']),
    });
  });

  test('injected twice is injected once', () => {
    const once = made(pod());
    expect(made(once)).toEqual(once);
  });

  test('whose rules are not first any more is refused', () => {
    const changed = made(pod());
    changed.spec.initContainers!.unshift(changed.spec.initContainers!.splice(1, 1)[0]!);
    expect(guardFaults(changed)).toEqual([expect.stringMatching(/sallyport-proxy runs before sallyport-capture/)]);
  });
});

describe('is refused, since a container could be the proxy to its rules:', () => {
  const refusal = (of: Pod): string => {
    const result = inject(of, OPEN, INSTALLATION);
    return result.kind === 'refuse' ? result.messages.join(' ') : result.kind;
  };
  const as = (securityContext: SecurityContext): Pod => pod({securityContext});
  test.each<[string, Pod, RegExp]>([
    ['no user is said', pod({}, {securityContext: {}}), /container app says no user/],
    ['the user of the proxy', as({runAsUser: 15080}), /app runs as 15080, whom the pod's rules let out/],
    ['that user for all', pod({}, {securityContext: {runAsUser: 15080}}), /app runs as 15080/],
    ['programs that run as their owner', as({allowPrivilegeEscalation: true}), /allows privilege escalation/],
    ['SETUID', as({capabilities: {add: ['cap_setuid']}}), /app adds SETUID/],
    ['NET_ADMIN', as({capabilities: {add: ['NET_ADMIN']}}), /app adds NET_ADMIN/],
    [
      'a resolver of its own, which the rules would let it speak to',
      pod({}, {dnsPolicy: 'None', dnsConfig: {nameservers: ['203.0.113.9']}}),
      /dnsConfig names the resolver/,
    ],
    [
      'processes that everybody in it sees, of which root may end the proxy and take its ports',
      pod({}, {shareProcessNamespace: true}),
      /shareProcessNamespace is true: .* Leave it out/,
    ],
    [
      'an ephemeral container among the processes of the proxy',
      pod({}, {ephemeralContainers: [{name: 'debug', targetContainerName: 'sallyport-proxy'}]}),
      /debug runs among the processes of sallyport-proxy/,
    ],
    ['the keys', pod({volumeMounts: [{name: 'sallyport-run', mountPath: '/x'}]}), /mounts sallyport-run/],
    [
      'an ephemeral container of that user',
      pod({}, {ephemeralContainers: [{name: 'debug', securityContext: {runAsUser: 15080}}]}),
      /debug runs as 15080/,
    ],
    [
      'a container of its author’s in the place of ours',
      pod({}, {initContainers: [{name: 'sallyport-capture', securityContext: {capabilities: {add: ['NET_ADMIN']}}}]}),
      /sallyport-capture is not as it is put in/,
    ],
  ])('%s', (_title, of, message) => {
    expect(refusal(of)).toMatch(message);
  });

  test.each(['sallyport-capture', 'sallyport-proxy', 'sallyport-guard'])(
    "a pod that holds our %s as it is, whose program looks for others in its author's folder",
    (name) => {
      const dressed = made(pod());
      const steered = named(dressed, name);
      (steered.env ??= []).push({name: 'PATH', value: '/var/run/secrets/x'});
      expect(refusal(dressed)).toMatch(new RegExp(`${name} is not as it is put in \\(env\\)`));
    },
  );

  test('processes that are shared are nothing to it where the node captures, or where it is not ours', () => {
    const shared = pod({}, {shareProcessNamespace: true});
    shared.metadata.labels = {'sallyport.dev/mode': 'tproxy'};
    expect(refusal(shared)).toBe('inject');
    const debugged = pod({}, {shareProcessNamespace: false});
    debugged.spec.ephemeralContainers = [{name: 'debug', targetContainerName: 'app'}];
    expect(refusal(debugged)).toBe('inject');
  });

  test('and where the node captures, our names give nobody NET_ADMIN', () => {
    const dressed = pod(
      {},
      {
        initContainers: [{name: 'sallyport-capture', securityContext: {capabilities: {add: ['NET_ADMIN']}}}],
      },
    );
    dressed.metadata.labels = {'sallyport.dev/mode': 'tproxy'};
    expect(refusal(dressed)).toMatch(/sallyport-capture adds NET_ADMIN/);
  });
});
