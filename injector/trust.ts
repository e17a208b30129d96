/** Trust in our CA: the bundle mounted, and the variables by which each runtime finds it. */
import {TRUST_STORE_PASSWORD} from '../pki/index.ts';
import {ANNOTATIONS, TRUST_KEYS} from '../runtime/names.ts';
import {appendOptions, setOnce} from './environment.ts';
import type {Container, Pod, VolumeMount} from './pod.ts';
import type {Installation} from './settings.ts';

const VOLUME = 'sallyport-trust';

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

/** Adds the volume to the pod. The ConfigMap is not optional: a pod that could not read what it trusts fails later and worse. */
export function addTrustVolume(pod: Pod, {trust}: Installation): void {
  const volumes = (pod.spec.volumes ??= []);
  if (!volumes.some((volume) => volume.name === VOLUME))
    volumes.push({name: VOLUME, configMap: {name: trust.configMap, defaultMode: 0o444}});
}

/** Whether the pod has the volume: an ephemeral container can mount one, but not bring it. */
export function hasTrustVolume(pod: Pod): boolean {
  return pod.spec.volumes?.some((volume) => volume.name === VOLUME) ?? false;
}

export interface TrustOptions {
  /** Over the distributions' own files too. Not for ephemeral containers, which may have no subPath. */
  readonly systemFiles: boolean;
}

/** Mounts the bundle into one container and sets its variables. What cannot be done is added to `warnings`. */
export function setTrust(container: Container, {trust}: Installation, options: TrustOptions, warnings: string[]): void {
  const at = trust.mountPath;
  mount(container, {name: VOLUME, mountPath: at, readOnly: true}, warnings);
  if (options.systemFiles)
    for (const file of SYSTEM_FILES)
      mount(container, {name: VOLUME, mountPath: file, subPath: TRUST_KEYS.bundle, readOnly: true}, warnings);
  for (const name of REPLACING) setOnce(container, name, `${at}/${TRUST_KEYS.bundle}`);
  for (const name of ADDING) setOnce(container, name, `${at}/${TRUST_KEYS.ca}`);
  const java = [
    `-Djavax.net.ssl.trustStore=${at}/${TRUST_KEYS.pkcs12}`,
    '-Djavax.net.ssl.trustStoreType=PKCS12',
    `-Djavax.net.ssl.trustStorePassword=${TRUST_STORE_PASSWORD}`,
  ];
  if (!appendOptions(container, 'JAVA_TOOL_OPTIONS', java))
    warnings.push(
      `container ${container.name}: JAVA_TOOL_OPTIONS comes from a reference, so the trust store cannot be appended to it`,
    );
}

function mount(container: Container, wanted: VolumeMount, warnings: string[]): void {
  const mounts = (container.volumeMounts ??= []);
  const there = mounts.find((other) => other.mountPath === wanted.mountPath);
  if (there === undefined) mounts.push(wanted);
  else if (there.name !== wanted.name)
    warnings.push(`container ${container.name}: ${wanted.mountPath} is a mount of its own already, and is left alone`);
}
