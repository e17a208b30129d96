/** Trust in our CA: the bundle mounted, and the variables by which each runtime finds it. */
import {TRUST_STORE_PASSWORD} from '../pki/index.ts';
import {ANNOTATIONS, TRUST_KEYS} from '../runtime/names.ts';
import {appendOptions, setOnce} from './environment.ts';
import type {Container, Pod, Volume, VolumeMount} from './pod.ts';
import {capturesItself} from './pod-capture.ts';
import type {Installation} from './settings.ts';

export const TRUST_VOLUME = 'sallyport-trust';
const VOLUME = TRUST_VOLUME;

/** These replace the runtime's own roots, so they get all of them. */
const REPLACING = [
  'SSL_CERT_FILE',
  'CURL_CA_BUNDLE',
  'REQUESTS_CA_BUNDLE',
  'GIT_SSL_CAINFO',
  'AWS_CA_BUNDLE',
  'PIP_CERT',
  'CARGO_HTTP_CAINFO',
  'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
] as const;
/** These add to them. */
const ADDING = ['NODE_EXTRA_CA_CERTS', 'DENO_CERT'] as const;

/** Where distributions keep their roots: Debian's and Alpine's, Red Hat's. */
const SYSTEM_FILES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt'] as const;

/** Whether the pod wants to be made to trust us. */
export function wantsTrust(pod: Pod): boolean {
  return pod.metadata.annotations?.[ANNOTATIONS.trustsCa] !== 'false';
}

/** The variables that trust sets, beside Java's. */
export const TRUST_VARIABLES = [...REPLACING, ...ADDING] as const;

/**
 * Adds the volume to the pod. The ConfigMap is not optional: a pod that could not read what it trusts fails later and worse.
 * False: the author has another volume of this name.
 */
export function addTrustVolume(pod: Pod, {trust}: Installation): boolean {
  const volumes = (pod.spec.volumes ??= []);
  const there = volumes.find(({name}) => name === VOLUME);
  if (there === undefined) volumes.push({name: VOLUME, configMap: {name: trust.configMap, defaultMode: 0o444}});
  return there === undefined || isOurs(there, trust.configMap) || isShared(there, pod);
}

/** Whether the pod has the volume: an ephemeral container can mount one, but not bring it. */
export function hasTrustVolume(pod: Pod, {trust}: Installation): boolean {
  const there = pod.spec.volumes?.find(({name}) => name === VOLUME);
  return there !== undefined && (isOurs(there, trust.configMap) || isShared(there, pod));
}

/** In a pod that captures itself: the CA is its proxy's own, and its certificates are put there by it. */
function isShared(volume: Volume, pod: Pod): boolean {
  return capturesItself(pod) && volume['emptyDir'] !== undefined;
}

function isOurs(volume: Volume, configMap: string): boolean {
  return (volume['configMap'] as {name?: unknown} | undefined)?.name === configMap;
}

export interface TrustOptions {
  /** Over the distributions' own files too. Not for ephemeral containers, which may have no subPath. */
  readonly systemFiles: boolean;
}

/** Mounts the bundle into one container and sets its variables. What cannot be done is added to `warnings`. */
export function setTrust(container: Container, {trust}: Installation, options: TrustOptions, warnings: string[]): void {
  const at = trust.mountPath;
  const {name} = container;
  // Variables that name files which are not there would take all trust away.
  if (!mount(container, {name: VOLUME, mountPath: at, readOnly: true}, warnings)) return;
  if (options.systemFiles)
    for (const file of SYSTEM_FILES)
      mount(container, {name: VOLUME, mountPath: file, subPath: TRUST_KEYS.bundle, readOnly: true}, warnings);
  const own = [
    ...REPLACING.filter((variable) => !setOnce(container, variable, `${at}/${TRUST_KEYS.bundle}`)),
    ...ADDING.filter((variable) => !setOnce(container, variable, `${at}/${TRUST_KEYS.added}`)),
  ];
  if (own.length > 0)
    warnings.push(`container ${name}: its own ${own.join(', ')} stays: ${at}/${TRUST_KEYS.ca} has to be in that file`);
  const java = [
    `-Djavax.net.ssl.trustStore=${at}/${TRUST_KEYS.pkcs12}`,
    '-Djavax.net.ssl.trustStoreType=PKCS12',
    `-Djavax.net.ssl.trustStorePassword=${TRUST_STORE_PASSWORD}`,
  ];
  if (!appendOptions(container, 'JAVA_TOOL_OPTIONS', java))
    warnings.push(
      `container ${name}: JAVA_TOOL_OPTIONS comes from a reference, so the trust store cannot be appended to it`,
    );
}

/**
 * Whether the mount is there now. An author's mount at the same place, around it or below it is left alone: inside a read-only
 * one the runtime cannot make the other, and the container would not start.
 */
function mount(container: Container, wanted: VolumeMount, warnings: string[]): boolean {
  const mounts = (container.volumeMounts ??= []);
  const there = mounts.find(
    ({mountPath}) => covers(mountPath, wanted.mountPath) || covers(wanted.mountPath, mountPath),
  );
  if (there === undefined) {
    mounts.push(wanted);
    return true;
  }
  if (there.name === wanted.name && there.subPath === wanted.subPath && there.mountPath === wanted.mountPath)
    return true;
  warnings.push(
    `container ${container.name}: ${wanted.mountPath} is left alone, its own mount at ${there.mountPath} is there`,
  );
  return false;
}

/** Whether `path` is `mountPath` or below it. */
function covers(mountPath: string, path: string): boolean {
  const directory = mountPath.replace(/\/+$/, '');
  return path === directory || path.startsWith(`${directory}/`);
}
