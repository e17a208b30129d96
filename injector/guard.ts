/**
 * The guard of a captured pod: an unprivileged init container, the very first, that proves the capture from inside before
 * anything else of the pod runs (docs/GUARD.md). Doing it twice is doing it once; what another injector puts before it is
 * moved behind it, and what comes after our last look is refused.
 */
import {TRUST_KEYS} from '../runtime/names.ts';
import {patchOf} from './patch.ts';
import type {Container, EnvVar, Pod, Volume, VolumeMount} from './pod.ts';
import type {Installation} from './settings.ts';

export const GUARD_CONTAINER = 'sallyport-guard';
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

/** The container as we write it. */
export function guardContainer({guard}: Installation): Container {
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
    volumeMounts: [{name: VOLUME, mountPath: MOUNT_PATH, readOnly: true}],
  };
}

/** Our CA's certificates; the kubelet starts nothing before the ConfigMap is there. */
function guardVolume({trust}: Installation): Volume {
  const items = [{key: TRUST_KEYS.ca, path: TRUST_KEYS.ca}];
  return {name: VOLUME, configMap: {name: trust.configMap, items, defaultMode: 0o444}};
}

/** Puts the guard in front of a pod that is being made. What stands in its way is returned, as sentences with the fix. */
export function placeGuard(pod: Pod, installation: Installation): string[] {
  const wrong = namedAlike(pod);
  if (wrong.length > 0) return wrong;
  const others = pod.spec.initContainers ?? [];
  const there = others.find(({name}) => name === GUARD_CONTAINER);
  const wanted = guardContainer(installation);
  if (there !== undefined) {
    const differs = differences(there, wanted);
    if (differs.length > 0)
      return [
        `the init container ${GUARD_CONTAINER} is not as it is put in (${differs.join(', ')}): the name is ours. Whoever wrote or changed it has to leave it out: it is added to pods that are captured.`,
      ];
  }
  const volumes = (pod.spec.volumes ??= []);
  const volume = volumes.find(({name}) => name === VOLUME);
  if (volume === undefined) volumes.push(guardVolume(installation));
  else if (!same(volume, guardVolume(installation)))
    return [`the volume ${VOLUME} is not as it is put in: the name is ours. Rename it.`];
  pod.spec.initContainers = [there ?? wanted, ...others.filter((one) => one !== there)];
  return [];
}

/**
 * Whether the guard of a pod that everybody has changed runs first, as sentences with the fix; empty: it does. What it is
 * was looked at by placeGuard().
 */
export function guardFaults({spec}: Pod): string[] {
  const [first, ...later] = spec.initContainers ?? [];
  const again = 'Let our mutating webhook be asked again after the others (reinvocationPolicy: IfNeeded).';
  if (first?.name === GUARD_CONTAINER) return [];
  return later.some(({name}) => name === GUARD_CONTAINER)
    ? [
        `the init container ${first?.name} runs before ${GUARD_CONTAINER}, and with no proof that it is captured. ${again}`,
      ]
    : [
        `there is no init container ${GUARD_CONTAINER}: the pod would start with no proof that it is captured. ${again}`,
      ];
}

/** Another container with our name, which every log and event would take for the guard. */
function namedAlike({spec}: Pod): string[] {
  const inits = (spec.initContainers ?? []).filter(({name}) => name === GUARD_CONTAINER).length;
  const others = [...spec.containers, ...(spec.ephemeralContainers ?? [])];
  return inits > 1 || others.some(({name}) => name === GUARD_CONTAINER)
    ? [`a container has the name ${GUARD_CONTAINER}, which is ours. Rename it.`]
    : [];
}

/** What others may set, since it changes nothing of what runs: defaults of the API server, and a LimitRange's. */
const FREE_FIELDS: readonly string[] = [
  'terminationMessagePath',
  'terminationMessagePolicy',
  'resources',
  'imagePullPolicy',
];
/** Where service account tokens and cloud identities are mounted into every container. */
const FREE_MOUNTS = '/var/run/secrets/';
/** By these the program itself would be another. */
const STEERING = /^(NODE_|LD_|DYLD_|SALLYPORT_|OPENSSL_|SSL_|MALLOC_|GCONV_)/;

/** In which fields `found` is not what we write. */
function differences(found: Container, wanted: Container): string[] {
  const fields = new Set(
    [...Object.keys(found), ...Object.keys(wanted)].filter((field) => !FREE_FIELDS.includes(field)),
  );
  return [...fields].filter((field) => {
    switch (field) {
      case 'env':
        return !sameEnv(found.env ?? [], wanted.env ?? []);
      case 'volumeMounts':
        return !sameMounts(found.volumeMounts ?? [], wanted.volumeMounts ?? []);
      default:
        return !same(found[field], wanted[field]);
    }
  });
}

function sameEnv(found: readonly EnvVar[], wanted: readonly EnvVar[]): boolean {
  const ours = found.filter(({name}) => wanted.some((one) => one.name === name));
  return (
    same(ours.map(withoutVersion), wanted.map(withoutVersion)) &&
    found.every((one) => ours.includes(one) || !STEERING.test(one.name))
  );
}

/** The API server adds `apiVersion: v1` to a fieldRef. */
function withoutVersion({name, value, valueFrom}: EnvVar): unknown {
  const {fieldRef, ...rest} = (valueFrom ?? {}) as {fieldRef?: {fieldPath?: unknown}};
  return [name, value, fieldRef?.fieldPath, rest];
}

function sameMounts(found: readonly VolumeMount[], wanted: readonly VolumeMount[]): boolean {
  const others = found.filter(({mountPath}) => !mountPath.startsWith(FREE_MOUNTS));
  return same(others, wanted);
}

/** As JSON: the order of keys says nothing. */
function same(found: unknown, wanted: unknown): boolean {
  return patchOf({value: found}, {value: wanted}).length === 0;
}
