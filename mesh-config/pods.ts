/** Pods of a cluster as verify looks at them. */
import type {CoreV1Api, V1Container, V1Pod} from '@kubernetes/client-node';
import type {Pod, Proxy} from './surroundings.ts';
import {versionIn} from './versions.ts';

/** Pods of one answer: all of a large cluster at once are hundreds of megabytes. */
const PAGE = 500;
/** Istio's own user and group of the proxy, where its container does not say another. */
const ISTIO_PROXY = 1337;
const PROXY = 'istio-proxy';
/** What the injector puts beside the applications' containers. */
const ISTIOS = [PROXY, 'istio-init', 'istio-validation', 'enable-core-dump'];
const REWIRES = ['NET_ADMIN', 'ALL'];

/** Every pod, `of` it made something smaller page by page; `namespace` null: of all. */
export async function eachPod<T>(
  core: CoreV1Api,
  {namespace, labelSelector}: {readonly namespace: string | null; readonly labelSelector?: string},
  of: (pod: V1Pod) => readonly T[],
): Promise<T[]> {
  const found: T[] = [];
  for (let next: string | undefined; ;) {
    const page = {
      limit: PAGE,
      ...(labelSelector === undefined ? {} : {labelSelector}),
      ...(next === undefined ? {} : {_continue: next}),
    };
    const {items, metadata} =
      namespace === null
        ? await core.listPodForAllNamespaces(page)
        : await core.listNamespacedPod({namespace, ...page});
    for (const item of items) found.push(...of(item));
    next = metadata?._continue;
    if (next === undefined || next === '') return found;
  }
}

/** A pod of Istio's with the version of one container's image. */
export const proxyOf =
  (container: string) =>
  ({metadata = {}, spec}: V1Pod): readonly Proxy[] => {
    const {name = '', namespace = '', labels = {}} = metadata;
    const found = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].find((one) => one.name === container);
    // The label is the chart's of istiod; on a pod with a sidecar it is the application's own version.
    const label = container === 'discovery' ? labels['app.kubernetes.io/version'] : undefined;
    return [{kind: 'Pod', metadata: {name, namespace, labels}, version: versionIn(label, found?.image)}];
  };

/** Nothing leaves one that has ended. */
export function askingPod({metadata = {}, spec, status}: V1Pod): readonly Pod[] {
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return [];
  const {name = '', namespace = '', labels = {}, annotations = {}} = metadata;
  const all = [
    ...(spec?.containers ?? []),
    ...(spec?.initContainers ?? []),
    // Those of `kubectl debug`.
    ...((spec?.ephemeralContainers ?? []) as readonly V1Container[]),
  ];
  const proxy = all.find((one) => one.name === PROXY);
  const ofPod = spec?.securityContext;
  return [
    {
      kind: 'Pod',
      metadata: {name, namespace, labels, annotations},
      hasProxy: proxy !== undefined,
      hostNetwork: spec?.hostNetwork ?? false,
      containers: all
        .filter((one) => !ISTIOS.includes(one.name))
        .map((one) => ({
          name: one.name,
          user: one.securityContext?.runAsUser ?? ofPod?.runAsUser ?? null,
          group: one.securityContext?.runAsGroup ?? ofPod?.runAsGroup ?? null,
          mayRewire: mayRewire(one),
        })),
      proxyUser: proxy?.securityContext?.runAsUser ?? ISTIO_PROXY,
      proxyGroup: proxy?.securityContext?.runAsGroup ?? ISTIO_PROXY,
    },
  ];
}

const mayRewire = ({securityContext}: V1Container): boolean =>
  securityContext?.privileged === true ||
  (securityContext?.capabilities?.add ?? []).some((one) => REWIRES.includes(one.replace(/^CAP_/, '')));
