/** The trust bundle in a namespace: a ConfigMap that the injector's pods mount. */
import {createHash} from 'node:crypto';
import {
  CoreV1Api,
  PatchStrategy,
  setHeaderOptions,
  type KubeConfig,
  type KubernetesObject,
  type V1ConfigMap,
} from '@kubernetes/client-node';
import {trustBundlePem, trustBundlePkcs12, type TrustBundleOptions} from '../../pki/index.ts';
import {ISSUER_CA_KEY, TRUST_KEYS} from '../../runtime/names.ts';
import {isOurs, OURS} from './root-secret.ts';

/** Server-side apply: these fields are ours, whoever else labels the object. */
const FIELD_MANAGER = 'sallyport-controller';
const NOT_FOUND = 404;
const INVALID = 422;

/** One bundle, as a ConfigMap holds it. */
export interface Bundle {
  readonly data: Readonly<Record<string, string>>;
  readonly binaryData: Readonly<Record<string, string>>;
  /** Of the two above: what is the same bundle has the same. */
  readonly digest: string;
}

/** `roots`: ours, PEM; while rotating the old and the new. `extra`: a company's own. `issuerCa`: of the issuer of identities; null: there is none. */
export function bundleOf(options: TrustBundleOptions, issuerCa: string | null = null): Bundle {
  const data = {
    [TRUST_KEYS.ca]: options.roots.join(''),
    [TRUST_KEYS.added]: trustBundlePem({...options, publicRoots: 'none'}),
    [TRUST_KEYS.bundle]: trustBundlePem(options),
    // Beside the bundles and in none of them: by it an agent knows the issuer, and no program knows anybody.
    ...(issuerCa === null ? {} : {[ISSUER_CA_KEY]: issuerCa}),
  };
  const binaryData = {[TRUST_KEYS.pkcs12]: trustBundlePkcs12(options).toString('base64')};
  return {data, binaryData, digest: digestOf({data, binaryData})};
}

/** Of a ConfigMap, as far as it is ours to say what is in it: what somebody puts beside our keys is his. */
export interface Copy {
  readonly digest: string;
  /** We made it; one that somebody made by this name is made to hold the bundle, and never removed. */
  readonly ours: boolean;
}

export function copyOf(object: KubernetesObject): Copy {
  const {data = {}, binaryData = {}} = object as V1ConfigMap;
  return {digest: digestOf({data, binaryData}), ours: isOurs(object)};
}

function digestOf({data, binaryData}: Pick<Bundle, 'data' | 'binaryData'>): string {
  const hash = createHash('sha256');
  const {ca, added, bundle, pkcs12} = TRUST_KEYS;
  for (const part of [data[ca], data[added], data[bundle], binaryData[pkcs12], data[ISSUER_CA_KEY]])
    hash.update(`${part === undefined ? 'absent' : part.length}:${part ?? ''}`);
  return hash.digest('hex');
}

/** Writes the ConfigMap into one namespace. Rejects with the API's error; a namespace that is ending refuses. */
export async function applyBundle(config: KubeConfig, namespace: string, name: string, bundle: Bundle): Promise<void> {
  const api = config.makeApiClient(CoreV1Api);
  const apply = () =>
    api.patchNamespacedConfigMap(
      {
        ...{namespace, name, fieldManager: FIELD_MANAGER, force: true},
        body: {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: {name, labels: OURS},
          data: bundle.data,
          binaryData: bundle.binaryData,
        },
      },
      setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply),
    );
  try {
    await apply();
  } catch (error) {
    if ((error as {code?: unknown}).code !== INVALID) throw error;
    // Somebody made it immutable, and what is in it will be wrong after the next rotation. Pods keep what they have mounted.
    await removeBundle(config, namespace, name);
    await apply();
  }
}

/** Takes it away; one that is gone is no error. */
export async function removeBundle(config: KubeConfig, namespace: string, name: string): Promise<void> {
  try {
    await config.makeApiClient(CoreV1Api).deleteNamespacedConfigMap({namespace, name});
  } catch (error) {
    if ((error as {code?: unknown}).code !== NOT_FOUND) throw error;
  }
}
