/** What of a Pod matters to whoever enforces a policy on it: a pure function of the object. */
import type {KubernetesObject} from '@kubernetes/client-node';
import {canonicalAddress, type Address} from '../policy/index.ts';
import {ANNOTATIONS} from '../runtime/names.ts';

export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly node: string | null;
  readonly ips: readonly Address[];
  readonly trustsCa: boolean;
  /** RFC 3339: of two pods that claim one address the younger has it. */
  readonly createdAt: string;
}

/** The fields that we read; whatever is not as expected counts as absent. */
interface Pod extends KubernetesObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly serviceAccountName?: string;
    readonly hostNetwork?: boolean;
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly podIPs?: readonly {readonly ip?: string}[];
  };
}

/**
 * null for a pod that sends nothing as itself: it has no address yet or has ended (its address may be another's by now), or it
 * is on the node's network, where it cannot be told from the node.
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
  if (ips.size === 0) return null;
  const {annotations = {}, creationTimestamp} = metadata;
  const said = annotations[ANNOTATIONS.trustsCa];
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
  };
}
