/** What a pod that captures itself is given besides, where it speaks mTLS (docs/adr/0027): flags, a token of its own, one capability. */
import {IDENTITY_AUDIENCE, ISSUER_CA_KEY, PORTS} from '../runtime/names.ts';
import type {MtlsMode} from '../sources/mtls-words.ts';
import type {MtlsSaid} from './mtls.ts';
import type {Container, EnvVar, Pod, Volume, VolumeMount} from './pod.ts';
import type {Installation} from './settings.ts';

export interface PodMtlsParts {
  /** Of `sallyport pod-rules`. */
  readonly ruleFlags: readonly string[];
  readonly ruleEnv: readonly EnvVar[];
  /** Of `sallyport tproxy`. */
  readonly proxyFlags: readonly string[];
  readonly proxyMount: VolumeMount;
  readonly volume: Volume;
}

const VOLUME = 'sallyport-mtls';
/** Where nobody else may mount anything (placed.ts). */
const PATH = '/etc/sallyport/mtls';
/** The kubelet renews it; a stolen one is of use for so long, and nowhere but at the issuer. */
const TOKEN_SECONDS = 3_600;

/** null: it speaks none. `ours`: containers whose probes are not the pod's. */
export function podMtls(
  pod: Pod,
  {mode: word, plainPorts}: MtlsSaid,
  {mtls, namespace, cluster, trust, podCapture}: Installation,
  ours: readonly string[],
): PodMtlsParts | null {
  const {trustDomain, cidrs} = podCapture.mtls;
  const mode: MtlsMode = word ?? podCapture.mtls.mode;
  // What a CIDR says of the pod is known where its address is: its rules look at it.
  const byCidr = word === null ? cidrs : [];
  if (!mtls || (mode === 'Off' && byCidr.length === 0)) return null;
  const list = (flag: string, values: readonly (string | number)[]): string[] =>
    values.length === 0 ? [] : [flag, values.join(',')];
  return {
    ruleFlags: [
      ...['--mtls-mode', mode],
      ...list('--mtls-cidr', byCidr),
      ...list('--mtls-plain-port', plainPorts),
      ...list('--mtls-probe-port', probePorts(pod, ours)),
    ],
    ruleEnv: [{name: 'SALLYPORT_NODE_IP', valueFrom: {fieldRef: {fieldPath: 'status.hostIPs'}}}],
    proxyFlags: [
      ...['--mtls', '--mtls-issuer', `sallyport-issuer.${namespace}.svc:${PORTS.issuer}`],
      ...['--mtls-issuer-ca', `${PATH}/${ISSUER_CA_KEY}`, '--mtls-token', `${PATH}/token`],
      ...['--mtls-trust-domain', trustDomain ?? cluster.domain, '--mtls-mode', podCapture.mtls.mode],
      ...list('--mtls-cidr', cidrs),
    ],
    proxyMount: {name: VOLUME, mountPath: PATH, readOnly: true},
    volume: {
      name: VOLUME,
      projected: {
        defaultMode: 0o444,
        sources: [
          {serviceAccountToken: {audience: IDENTITY_AUDIENCE, expirationSeconds: TOKEN_SECONDS, path: 'token'}},
          // It may come after the pod: the proxy waits for it, and the pod for the proxy.
          {configMap: {name: trust.configMap, optional: true, items: [{key: ISSUER_CA_KEY, path: ISSUER_CA_KEY}]}},
        ],
      },
    },
  };
}

/** Root, since Kubernetes gives a capability to nobody else: it becomes its own user at once, with NET_RAW alone (become-proxy.ts). */
export function asProxyWithRawSockets(container: Container): void {
  Object.assign(container.securityContext!, {
    ...{runAsNonRoot: false, runAsUser: 0, runAsGroup: 0},
    capabilities: {drop: ['ALL'], add: ['NET_RAW', 'SETGID', 'SETPCAP', 'SETUID']},
  });
}

interface Asked {
  readonly httpGet?: {readonly port?: unknown};
  readonly tcpSocket?: {readonly port?: unknown};
  readonly grpc?: {readonly port?: unknown};
}

/** Where the kubelet speaks to the pod: probes, and hooks by HTTP. A name that no port of the container has is nobody's. */
function probePorts(pod: Pod, ours: readonly string[]): number[] {
  const {initContainers = [], containers} = pod.spec;
  const ports = new Set<number>();
  for (const container of [...initContainers, ...containers]) {
    if (ours.includes(container.name)) continue;
    const named = (container['ports'] ?? []) as readonly {name?: string; containerPort?: number}[];
    const hooks = (container['lifecycle'] ?? {}) as Record<string, Asked | undefined>;
    const probes = [container['livenessProbe'], container['readinessProbe'], container['startupProbe']];
    for (const asked of [...(probes as (Asked | undefined)[]), hooks['postStart'], hooks['preStop']])
      for (const port of [asked?.httpGet?.port, asked?.tcpSocket?.port, asked?.grpc?.port]) {
        const number =
          typeof port === 'string' && !/^\d+$/.test(port)
            ? named.find(({name}) => name === port)?.containerPort
            : Number(port);
        if (number !== undefined && Number.isInteger(number) && number >= 1 && number <= 65_535) ports.add(number);
      }
  }
  return [...ports].sort((a, b) => a - b);
}
