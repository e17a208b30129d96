/**
 * What a pod that captures itself is given (`sallyport.dev/capture: pod`): an init container with NET_ADMIN, not privileged,
 * that sets the rules of the pod's network namespace, and the proxy as a native sidecar (KEP-753), told from everybody else
 * by its user.
 */
import {LABELS, POD_PROXY_UID, PORTS} from '../runtime/names.ts';
import type {Parts} from './placed.ts';
import type {Container, EnvVar, Pod} from './pod.ts';
import {asProxyWithRawSockets, type PodMtlsParts} from './pod-mtls.ts';
import type {Installation} from './settings.ts';

const RULES = 'sallyport-capture';
const PROXY = 'sallyport-proxy';
/** In the order in which they start; the guard follows. */
export const POD_CAPTURE_CONTAINERS = [RULES, PROXY] as const;
const OURS: readonly unknown[] = POD_CAPTURE_CONTAINERS;
/** What ours may add. */
export const RULES_NEED: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  [RULES, new Set(['NET_ADMIN'])],
  // Where it speaks mTLS, and nothing besides (pod-mtls.ts).
  [PROXY, new Set(['NET_RAW'])],
]);

/** Keys and the table of one workload, in memory; nobody but ours may mount it. */
export const POD_RUN_VOLUME = 'sallyport-run';
const RUN_PATH = '/run/sallyport';
const TRUST_VOLUME = 'sallyport-trust';
const TRUST_PATH = '/etc/sallyport/trust';
const LABELS_VOLUME = 'sallyport-podinfo';
const LABELS_PATH = '/etc/sallyport/podinfo';
const POLICIES_VOLUME = 'sallyport-policies';
const POLICIES_PATH = '/etc/sallyport/policies';

/** Whether the pod says so; its label alone counts, which is written where an annotation says it. */
export function capturesItself(pod: Pod): boolean {
  return pod.metadata.labels?.[LABELS.capture] === 'pod';
}

const HARDENED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  seccompProfile: {type: 'RuntimeDefault'},
};

/** `mtls` null: it speaks none. */
export function podCapture(
  {guard, podCapture: settings, cluster}: Installation,
  mtls: PodMtlsParts | null,
): Parts & {readonly trustVolume: string} {
  const field = (name: string, fieldPath: string): EnvVar => ({name, valueFrom: {fieldRef: {fieldPath}}});
  const rules: Container = {
    name: RULES,
    image: settings.image,
    imagePullPolicy: guard.imagePullPolicy,
    args: [
      ...['pod-rules', '--workload-file', `${RUN_PATH}/workloads.yaml`, '--labels-file', `${LABELS_PATH}/labels`],
      ...(mtls?.ruleFlags ?? []),
    ],
    env: [
      field('SALLYPORT_POD_UID', 'metadata.uid'),
      field('SALLYPORT_POD_NAME', 'metadata.name'),
      field('SALLYPORT_POD_NAMESPACE', 'metadata.namespace'),
      field('SALLYPORT_POD_IPS', 'status.podIPs'),
      field('SALLYPORT_SERVICE_ACCOUNT', 'spec.serviceAccountName'),
      ...(mtls?.ruleEnv ?? []),
    ],
    resources: structuredClone(guard.resources),
    // Capabilities that are added are in force for root alone.
    securityContext: {
      ...structuredClone(HARDENED),
      runAsNonRoot: false,
      runAsUser: 0,
      runAsGroup: 0,
      capabilities: {drop: ['ALL'], add: ['NET_ADMIN']},
    },
    volumeMounts: [
      {name: POD_RUN_VOLUME, mountPath: RUN_PATH},
      {name: LABELS_VOLUME, mountPath: LABELS_PATH, readOnly: true},
    ],
  };
  const proxy: Container = {
    name: PROXY,
    image: settings.image,
    imagePullPolicy: guard.imagePullPolicy,
    restartPolicy: 'Always',
    args: [
      ...['tproxy', '--capture', 'pod', '--policy', POLICIES_PATH, '--workloads', `${RUN_PATH}/workloads.yaml`],
      ...['--ca-dir', `${RUN_PATH}/ca`, '--trust-dir', TRUST_PATH, '--admin', `*:${PORTS.admin}`],
      // Which names and addresses are the cluster's own: the classes of addresses, and what a name of the cluster may be.
      ...['--cluster-domain', cluster.domain],
      ...(['service', 'pod', 'node'] as const).flatMap((of) => {
        const cidrs = cluster[`${of}Cidrs`];
        return cidrs.length === 0 ? [] : [`--${of}-cidr`, cidrs.join(',')];
      }),
      ...(mtls?.proxyFlags ?? []),
    ],
    resources: structuredClone(settings.resources),
    securityContext: {
      ...structuredClone(HARDENED),
      runAsNonRoot: true,
      runAsUser: POD_PROXY_UID,
      runAsGroup: POD_PROXY_UID,
      capabilities: {drop: ['ALL']},
    },
    // What follows starts when it serves. All fields, as the API server would fill them in.
    startupProbe: {
      httpGet: {path: '/readyz', port: PORTS.admin, scheme: 'HTTP'},
      periodSeconds: 1,
      failureThreshold: 60,
      timeoutSeconds: 1,
      successThreshold: 1,
    },
    volumeMounts: [
      {name: POD_RUN_VOLUME, mountPath: RUN_PATH},
      {name: TRUST_VOLUME, mountPath: TRUST_PATH},
      {name: POLICIES_VOLUME, mountPath: POLICIES_PATH, readOnly: true},
      ...(mtls === null ? [] : [mtls.proxyMount]),
    ],
  };
  if (mtls !== null) asProxyWithRawSockets(proxy);
  const fieldRef = {apiVersion: 'v1', fieldPath: 'metadata.labels'};
  return {
    containers: [rules, proxy],
    volumes: [
      {name: POD_RUN_VOLUME, emptyDir: {medium: 'Memory'}},
      {name: TRUST_VOLUME, emptyDir: {}},
      {name: LABELS_VOLUME, downwardAPI: {items: [{path: 'labels', fieldRef}], defaultMode: 0o444}},
      {name: POLICIES_VOLUME, configMap: {name: settings.policies, defaultMode: 0o444}},
      ...(mtls === null ? [] : [mtls.volume]),
    ],
    trustVolume: TRUST_VOLUME,
  };
}

/** Takes from a container what it could become the proxy's user by: SETUID, and programs that run as their owner. */
export function keepUser(container: Container): void {
  const context = (container.securityContext ??= {});
  context['allowPrivilegeEscalation'] ??= false;
  const dropped = ((context.capabilities ??= {}).drop ??= []);
  if (!dropped.includes('ALL') && !dropped.includes('SETUID')) dropped.push('SETUID');
}

/** How another container of such a pod could be the proxy to its rules, or take its keys, as sentences with the fix. */
export function waysToBeTheProxy(container: Container, pod: Pod): string[] {
  const {name, securityContext = {}, volumeMounts = []} = container;
  const user = securityContext.runAsUser ?? pod.spec.securityContext?.runAsUser;
  const target = container['targetContainerName'];
  const added = (securityContext.capabilities?.add ?? []).map((one) => one.toUpperCase().replace(/^CAP_/, ''));
  return [
    // What user an image runs as is not seen here.
    ...(user === undefined
      ? [`container ${name} says no user, and its image's could be ours. Write runAsUser.`]
      : user === POD_PROXY_UID
        ? [`container ${name} runs as ${POD_PROXY_UID}, whom the pod's rules let out. Write another runAsUser.`]
        : []),
    ...(securityContext['allowPrivilegeEscalation'] === true
      ? [`container ${name} allows privilege escalation: a program could run as another user. Leave it out.`]
      : []),
    ...(added.includes('SETUID') ? [`container ${name} adds SETUID: it becomes any user. Leave it out.`] : []),
    ...(OURS.includes(target)
      ? [`container ${name} runs among the processes of ${String(target)}, which is ours. Name another target.`]
      : []),
    ...(volumeMounts.some((mount) => mount.name === POD_RUN_VOLUME)
      ? [`container ${name} mounts ${POD_RUN_VOLUME}, which holds the proxy's keys. Leave it out.`]
      : []),
  ];
}

/** Root in another container has CAP_KILL by default, and binds what the proxy has left. */
export function sharedProcesses({spec}: Pod): string[] {
  return spec['shareProcessNamespace'] === true
    ? [
        'shareProcessNamespace is true: a container could end the proxy and take its ports. Leave it out, or let the node capture the pod.',
      ]
    : [];
}

/** The rules of such a pod let it speak to the resolvers of its resolv.conf, and its proxy believes them: its author may not name them. */
export function otherResolvers({spec}: Pod): string[] {
  const {nameservers} = (spec['dnsConfig'] ?? {}) as {nameservers?: unknown};
  return Array.isArray(nameservers) && nameservers.length > 0
    ? ["dnsConfig names the resolver, and the pod's rules let that out. Leave nameservers out, and dnsPolicy None."]
    : [];
}
