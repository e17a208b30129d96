/**
 * The guard of a captured pod: an unprivileged init container in front of all others, that proves the capture from inside
 * before anything else of the pod runs (docs/GUARD.md). Where the pod captures itself (`capture: pod`), what does so stands
 * before it.
 */
import {wish} from '../cluster/asked-mode.ts';
import {LABELS, TRUST_KEYS} from '../runtime/names.ts';
import type {MtlsSaid} from './mtls.ts';
import {misplaced, place, type Parts} from './placed.ts';
import type {Container, EnvVar, Namespace, Pod, Volume} from './pod.ts';
import {capturesItself, podCapture, POD_CAPTURE_CONTAINERS} from './pod-capture.ts';
import {podMtls} from './pod-mtls.ts';
import type {Installation} from './settings.ts';

export const GUARD_CONTAINER = 'sallyport-guard';
/** Those that are ours in this pod: nobody tells them of proxies, and they are not changed. In another pod the names are its author's. */
export function ourContainers(pod: Pod): readonly string[] {
  return [...(capturesItself(pod) ? POD_CAPTURE_CONTAINERS : []), GUARD_CONTAINER];
}

/** A volume of its own: that of the pod's trust is there only for pods that trust our CA. */
const VOLUME = GUARD_CONTAINER;
const MOUNT_PATH = '/etc/sallyport/trust';

/** Nobody's user, as distroless images have it; nothing is written, and nothing may be gained. */
const NOBODY = 65532;
const RESTRICTED = {
  runAsNonRoot: true,
  runAsUser: NOBODY,
  runAsGroup: NOBODY,
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: {drop: ['ALL']},
  seccompProfile: {type: 'RuntimeDefault'},
};

/** The container as we write it; `volume` holds our CA's certificates. */
export function guardContainer({guard}: Installation, volume = VOLUME): Container {
  const field = (name: string, fieldPath: string): EnvVar => ({name, valueFrom: {fieldRef: {fieldPath}}});
  return {
    name: GUARD_CONTAINER,
    image: guard.image,
    imagePullPolicy: guard.imagePullPolicy,
    args: ['guard', '--ca', `${MOUNT_PATH}/${TRUST_KEYS.ca}`, '--timeout', String(guard.timeoutSeconds)],
    env: [
      field('SALLYPORT_POD_UID', 'metadata.uid'),
      field('SALLYPORT_POD_IPS', 'status.podIPs'),
      field('SALLYPORT_NODE_IPS', 'status.hostIP'),
      field('SALLYPORT_NODE_NAME', 'spec.nodeName'),
    ],
    resources: structuredClone(guard.resources),
    securityContext: structuredClone(RESTRICTED),
    volumeMounts: [{name: volume, mountPath: MOUNT_PATH, readOnly: true}],
  };
}

/** Our CA's certificates; the kubelet starts nothing before the ConfigMap is there. */
function guardVolume({trust}: Installation): Volume {
  const items = [{key: TRUST_KEYS.ca, path: TRUST_KEYS.ca}];
  return {name: VOLUME, configMap: {name: trust.configMap, items, defaultMode: 0o444}};
}

/** Writes where the pod is captured as a label, where it is said otherwise: it is what holds as long as the pod lives. */
export function latchCapture(pod: Pod, namespace: Namespace): void {
  const {labels = {}, annotations = {}} = pod.metadata;
  const said = wish({labels, annotations}, namespace.labels, LABELS.capture);
  if (said !== null) (pod.metadata.labels ??= {})[LABELS.capture] = said.value;
}

/** Puts the guard in front of a pod that is being made. What stands in its way is returned, as sentences with the fix. */
export function placeGuard(pod: Pod, installation: Installation, mtls: MtlsSaid): string[] {
  return place(pod, partsOf(pod, installation, mtls));
}

/** Whether the guard of a pod that everybody has changed runs first, as sentences with the fix; empty: it does. */
export function guardFaults(pod: Pod): string[] {
  return misplaced(pod, ourContainers(pod));
}

function partsOf(pod: Pod, installation: Installation, mtls: MtlsSaid): Parts {
  if (!capturesItself(pod)) return {containers: [guardContainer(installation)], volumes: [guardVolume(installation)]};
  const {containers, volumes, trustVolume} = podCapture(
    installation,
    podMtls(pod, mtls, installation, ourContainers(pod)),
  );
  return {containers: [...containers, guardContainer(installation, trustVolume)], volumes};
}
