/** What of a Pod matters to whoever enforces a policy on it: a pure function of the object. */
import type {KubernetesObject} from '@kubernetes/client-node';
import {canonicalAddress, type Address} from '../policy/index.ts';
import {ANNOTATIONS, LABELS} from '../runtime/names.ts';
import {mtlsModeOf, parsePlainPorts, stricter, type MtlsMode, type MtlsWords} from '../sources/mtls-words.ts';
import type {Guarded} from '../sources/workload-table.ts';
import {askedMode, wish, type Mode} from './asked-mode.ts';

export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly node: string | null;
  /** Empty: it has none yet, or none at the moment. */
  readonly ips: readonly Address[];
  readonly trustsCa: boolean;
  /** RFC 3339: of two pods that claim one address the younger has it. */
  readonly createdAt: string;
  /** The annotations that may ask for a mode. */
  readonly asking: Readonly<Record<string, string>>;
  /** The webhook has put it under our guard: whatever its labels say by now. */
  readonly injectedForTproxy: boolean;
  /** How it was to speak mTLS when it was made, by the webhook's word; null: nothing was said. */
  readonly injectedMtls: {readonly mode: MtlsMode; readonly plainPorts: ReadonlySet<number>} | null;
  /** A container is called as Istio's sidecar is. */
  readonly sidecar: boolean;
}

/** The fields that we read; whatever is not as expected counts as absent. */
interface Pod extends KubernetesObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly serviceAccountName?: string;
    readonly hostNetwork?: boolean;
    readonly containers?: readonly {readonly name?: string}[];
    readonly initContainers?: readonly {readonly name?: string}[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly podIPs?: readonly {readonly ip?: string}[];
  };
}

/** As Istio's injector names it, among the containers or, as a native sidecar, among the init containers. */
const SIDECAR = 'istio-proxy';
type Named = readonly {readonly name?: string}[];

/** Whether a container is called as Istio's sidecar is. */
export function hasSidecar(spec: {readonly containers?: Named; readonly initContainers?: Named}): boolean {
  return [...(spec.containers ?? []), ...(spec.initContainers ?? [])].some(({name}) => name === SIDECAR);
}

const ASKING: readonly string[] = [
  ...[LABELS.inject, LABELS.mode, LABELS.mtls, ANNOTATIONS.tutorial],
  ANNOTATIONS.mtlsPlainPorts,
];

/**
 * null for a pod that sends nothing as itself: it has ended (its address may be another's by now), or it is on the node's
 * network, where it cannot be told from the node.
 */
export function podFacts(object: KubernetesObject): PodFacts | null {
  const {metadata, spec, status} = object as Pod;
  if (metadata?.namespace === undefined || metadata.name === undefined) return null;
  if (spec?.hostNetwork === true || status?.phase === 'Succeeded' || status?.phase === 'Failed') return null;
  const written = [...(status?.podIPs ?? []).map(({ip}) => ip), status?.podIP];
  const ips = new Set<Address>();
  for (const text of written) {
    const ip = text === undefined ? null : canonicalAddress(text);
    if (ip !== null) ips.add(ip);
  }
  const {annotations = {}, creationTimestamp} = metadata;
  const said = annotations[ANNOTATIONS.trustsCa];
  const injected = injectedStatus(annotations[ANNOTATIONS.status]);
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.uid ?? '',
    labels: metadata.labels ?? {},
    serviceAccount: spec?.serviceAccountName ?? 'default',
    node: spec?.nodeName ?? null,
    ips: [...ips],
    // The injector's pods trust us, unless they said that they must not be made to.
    trustsCa: said === undefined ? annotations[ANNOTATIONS.status] !== undefined : said === 'true',
    createdAt: creationTimestamp === undefined ? '' : new Date(creationTimestamp).toISOString(),
    asking: Object.fromEntries(ASKING.flatMap((key) => (key in annotations ? [[key, annotations[key]!]] : []))),
    injectedForTproxy: injected?.mode === 'tproxy',
    injectedMtls: injectedMtls(injected),
    sidecar: hasSidecar(spec ?? {}),
  };
}

interface Injected {
  readonly mode?: unknown;
  readonly mtls?: unknown;
  readonly mtlsPlainPorts?: unknown;
}

function injectedMtls(injected: Injected | null): PodFacts['injectedMtls'] {
  if (typeof injected?.mtls !== 'string') return null;
  const ports = Array.isArray(injected.mtlsPlainPorts) ? (injected.mtlsPlainPorts as unknown[]) : [];
  return {
    mode: mtlsModeOf(injected.mtls),
    plainPorts: new Set(ports.filter((port): port is number => typeof port === 'number')),
  };
}

/** Of the status that the webhook wrote; null: it wrote none, or somebody else did. */
function injectedStatus(status: string | undefined): Injected | null {
  if (status === undefined) return null;
  try {
    return JSON.parse(status) as Injected | null;
  } catch {
    return null;
  }
}

/**
 * What the pod is to the node's agent. `namespaceLabels` null: not known yet, and annotations count until they are, since a pod
 * that should be held must not be free in the meantime. So does a word that does not exist. Pure.
 */
export function guardOf(pod: PodFacts, namespaceLabels: Readonly<Record<string, string>> | null): Guarded {
  const asked = askedMode(
    {labels: pod.labels, annotations: pod.asking},
    namespaceLabels ?? {[LABELS.injection]: 'enabled'},
  );
  const asksForUs = asked.kind === 'wrong' || (asked.kind === 'mode' && asked.mode === 'tproxy');
  if (asksForUs || pod.injectedForTproxy) return 'asked';
  return pod.sidecar && isOfTheMesh(namespaceLabels ?? {}) ? 'sidecar' : 'unasked';
}

/**
 * What the pod says about mTLS; null: nothing. `namespaceLabels` null: not known yet, and annotations count until they are. A word
 * that does not exist is Strict, and so is a pod that was made Strict and says something else by now: what is changed while it
 * runs frees nobody, and leaves no further port plain. Ports that cannot be read leave none. Pure.
 */
export function mtlsOf(pod: PodFacts, namespaceLabels: Readonly<Record<string, string>> | null): MtlsWords | null {
  const of = namespaceLabels ?? {[LABELS.injection]: 'enabled'};
  const said = wish({labels: pod.labels, annotations: pod.asking}, of, LABELS.mtls);
  const now = said === null ? null : mtlsModeOf(said.value);
  const atStart = pod.injectedMtls;
  const mode = now !== null && atStart !== null ? stricter(now, atStart.mode) : (now ?? atStart?.mode ?? null);
  const text = pod.asking[ANNOTATIONS.mtlsPlainPorts];
  if (mode === null && text === undefined) return null;
  const ports = (text === undefined ? null : parsePlainPorts(text)) ?? new Set<number>();
  return {
    mode,
    plainPorts: atStart === null ? ports : new Set([...ports].filter((port) => atStart.plainPorts.has(port))),
  };
}

/**
 * Whether an administrator has said that pods of this namespace are the mesh's: by Istio's own labels, or by ours. Whoever may
 * write pods can call any container `istio-proxy`, and would be nobody's then; a namespace's labels are not theirs to write.
 */
function isOfTheMesh(labels: Readonly<Record<string, string>>): boolean {
  return (
    labels['istio-injection'] === 'enabled' ||
    (labels['istio.io/rev'] ?? '') !== '' ||
    labels[LABELS.mode] === ('mesh' satisfies Mode)
  );
}
