/**
 * Containers and volumes of ours in a pod: the first of its init containers, as we write them. Doing it twice is doing it once;
 * what another injector puts before them is moved behind them, and what comes after our last look is refused.
 */
import {posix} from 'node:path';
import {patchOf} from './patch.ts';
import type {Container, EnvVar, Pod, Volume, VolumeMount} from './pod.ts';

/** What a pod is given, in the order in which it starts. */
export interface Parts {
  readonly containers: readonly Container[];
  readonly volumes: readonly Volume[];
}

/** Puts them in front of a pod that is being made. What stands in their way is returned, as sentences with the fix. */
export function place(pod: Pod, {containers, volumes}: Parts): string[] {
  const names = containers.map(({name}) => name);
  const alike = namedAlike(pod, names);
  if (alike.length > 0) return alike;
  const inits = pod.spec.initContainers ?? [];
  const found = containers.map((wanted) => inits.find(({name}) => name === wanted.name) ?? null);
  const own = (pod.spec.volumes ??= []);
  const wrong = [
    ...containers.flatMap((wanted, i) => {
      const differs = found[i] == null ? [] : differences(found[i], wanted);
      return differs.length === 0
        ? []
        : [
            `the init container ${wanted.name} is not as it is put in (${differs.join(', ')}): the name is ours. Whoever wrote or changed it has to leave it out: it is added to pods that are captured.`,
          ];
    }),
    ...volumes.flatMap((wanted) => {
      const there = own.find(({name}) => name === wanted.name);
      return there === undefined || same(there, wanted)
        ? []
        : [`the volume ${wanted.name} is not as it is put in: the name is ours. Rename it.`];
    }),
  ];
  if (wrong.length > 0) return wrong;
  own.push(...volumes.filter((wanted) => !own.some(({name}) => name === wanted.name)));
  pod.spec.initContainers = [
    ...containers.map((wanted, i) => found[i] ?? wanted),
    ...inits.filter(({name}) => !names.includes(name)),
  ];
  return [];
}

/**
 * Whether they run first in a pod that everybody has changed, as sentences with the fix; empty: they do. What they are was
 * looked at by place().
 */
export function misplaced({spec}: Pod, names: readonly string[]): string[] {
  const inits = (spec.initContainers ?? []).map(({name}) => name);
  const again = 'Let our mutating webhook be asked again after the others (reinvocationPolicy: IfNeeded).';
  const at = names.findIndex((name, i) => inits[i] !== name);
  if (at < 0) return [];
  const name = names[at]!;
  return [
    inits.includes(name)
      ? `the init container ${inits[at]} runs before ${name}, and with no proof that it is captured. ${again}`
      : `there is no init container ${name}: the pod would start with no proof that it is captured. ${again}`,
  ];
}

/** Other containers with our names, which every log and event would take for ours. */
function namedAlike({spec}: Pod, names: readonly string[]): string[] {
  const inits = (spec.initContainers ?? []).map(({name}) => name);
  const others = [...spec.containers, ...(spec.ephemeralContainers ?? [])].map(({name}) => name);
  return names
    .filter((name) => others.includes(name) || inits.indexOf(name) !== inits.lastIndexOf(name))
    .map((name) => `a container has the name ${name}, which is ours. Rename it.`);
}

/** What others may set, since it changes nothing of what runs: defaults of the API server, and a LimitRange's. */
const FREE_FIELDS: readonly string[] = ['terminationMessagePolicy', 'resources', 'imagePullPolicy'];
/**
 * The API server's default. The kubelet mounts an empty file there, over what the image has: over the program itself it would
 * make one that does nothing and ends well.
 */
const LAST_WORDS = '/dev/termination-log';
/** Where service account tokens and cloud identities are mounted into every container; images have /var/run as a link to /run. */
const FREE_MOUNTS = '/run/secrets/';
/**
 * What cloud identities and telemetry put into every container, which nothing of ours reads. Everything else is refused: by PATH,
 * NODE_OPTIONS, LD_PRELOAD, GLIBC_TUNABLES, HOSTALIASES and whatever a library reads next, the program would be another.
 */
const FREE_VARIABLES = /^(AWS|AZURE|GOOGLE|CLOUDSDK|DD|OTEL)_/;

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
      case 'terminationMessagePath':
        return (found[field] ?? LAST_WORDS) !== LAST_WORDS;
      default:
        return !same(found[field], wanted[field]);
    }
  });
}

function sameEnv(found: readonly EnvVar[], wanted: readonly EnvVar[]): boolean {
  const ours = found.filter(({name}) => wanted.some((one) => one.name === name));
  return (
    same(ours.map(withoutVersion), wanted.map(withoutVersion)) &&
    found.every((one) => ours.includes(one) || FREE_VARIABLES.test(one.name))
  );
}

/** The API server adds `apiVersion: v1` to a fieldRef. */
function withoutVersion({name, value, valueFrom}: EnvVar): unknown {
  const {fieldRef, ...rest} = (valueFrom ?? {}) as {fieldRef?: {fieldPath?: unknown}};
  return [name, value, fieldRef?.fieldPath, rest];
}

function sameMounts(found: readonly VolumeMount[], wanted: readonly VolumeMount[]): boolean {
  return same(
    found.filter((one) => !isFree(one, found)),
    wanted,
  );
}

/** No other mount may be at, below or above it: a volume may hold a link, and what is mounted through that is anywhere. */
function isFree(mount: VolumeMount, all: readonly VolumeMount[]): boolean {
  const path = folderOf(mount);
  return (
    path.startsWith(FREE_MOUNTS) &&
    all.every((other) => other === mount || (!folderOf(other).startsWith(path) && !path.startsWith(folderOf(other))))
  );
}

/** With a slash at its end. The runtime follows `..`; the API server lets it through. */
function folderOf({mountPath}: VolumeMount): string {
  return posix.normalize(`/${mountPath}/`).replace(/^\/var\/run\//, '/run/');
}

/** As JSON: the order of keys says nothing. */
function same(found: unknown, wanted: unknown): boolean {
  return patchOf({value: found}, {value: wanted}).length === 0;
}
