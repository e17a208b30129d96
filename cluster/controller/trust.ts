/** The trust bundle in every namespace that needs it: a ConfigMap that the injector's pods mount. */
import {CoreV1Api, PatchStrategy, setHeaderOptions, type KubeConfig} from '@kubernetes/client-node';
import {trustBundlePem, trustBundlePkcs12} from '../../pki/index.ts';
import {TRUST_KEYS} from '../../runtime/names.ts';

/** Server-side apply: these fields are ours, whoever else labels the object. */
const FIELD_MANAGER = 'sallyport-controller';

/** One bundle, as a ConfigMap holds it. */
export interface Bundle {
  readonly data: Readonly<Record<string, string>>;
  readonly binaryData: Readonly<Record<string, string>>;
}

/** `roots`: ours, PEM; while rotating the old and the new. `extra`: a company's own. */
export function bundleOf(roots: readonly string[], extra: readonly string[]): Bundle {
  return {
    data: {[TRUST_KEYS.ca]: roots.join(''), [TRUST_KEYS.bundle]: trustBundlePem({roots, extra})},
    binaryData: {[TRUST_KEYS.pkcs12]: trustBundlePkcs12({roots, extra}).toString('base64')},
  };
}

/** Writes the ConfigMap into one namespace. Rejects with the API's error; a namespace that is ending refuses. */
export async function applyBundle(config: KubeConfig, namespace: string, name: string, bundle: Bundle): Promise<void> {
  const api = config.makeApiClient(CoreV1Api);
  await api.patchNamespacedConfigMap(
    {
      ...{namespace, name, fieldManager: FIELD_MANAGER, force: true},
      body: {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: {name, labels: {'app.kubernetes.io/managed-by': 'sallyport'}},
        ...bundle,
      },
    },
    setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply),
  );
}
