/** Policies and UpstreamProxies of the cluster as documents: read as files are, one object at a time. */
import type {KubeConfig, KubernetesObject} from '@kubernetes/client-node';
import {readDocument, type AnyKind, type Document, type Finding, type Kind} from '../policy/index.ts';
import {startReflector, type Reflector} from './reflector.ts';

/** What an object came to; `document` is null where it has errors, and where it is no policy (MeshEgress). */
export interface ClusterDocument {
  readonly document: Document | null;
  readonly findings: readonly Finding[];
  readonly uid: string;
  readonly generation: number;
}

export const PLURALS: Readonly<Record<AnyKind, string>> = {
  EgressPolicy: 'egresspolicies',
  ClusterEgressPolicy: 'clusteregresspolicies',
  UpstreamProxy: 'upstreamproxies',
  MeshEgress: 'meshegresses',
};

export interface DocumentsOptions {
  readonly config: KubeConfig;
  readonly kind: Kind;
  readonly onChange: (key: string, now: ClusterDocument | null) => void;
  readonly onSynced: () => void;
  readonly onTrouble: (message: string, retryMs: number, kind: string) => void;
  readonly onWell?: (kind: string) => void;
}

/** Watches one kind, over all namespaces. */
export function watchDocuments({kind, ...options}: DocumentsOptions): Reflector<ClusterDocument> {
  return startReflector({
    ...options,
    resource: {apiVersion: 'sallyport.dev/v1alpha1', kind, path: `/apis/sallyport.dev/v1alpha1/${PLURALS[kind]}`},
    keep: (object) => clusterDocument(object, kind),
  });
}

/** Which object a document was, as long as it is in force: files have no generations, and so documents carry none. */
const origins = new WeakMap<Document, Pick<ClusterDocument, 'uid' | 'generation'>>();
export const originOf = (document: Document): Pick<ClusterDocument, 'uid' | 'generation'> | undefined =>
  origins.get(document);

/** An object of a list has no kind of its own. */
export function clusterDocument(object: KubernetesObject, kind: AnyKind): ClusterDocument {
  const {uid = '', generation = 0} = object.metadata ?? {};
  const {document, findings} = readDocument({...object, apiVersion: 'sallyport.dev/v1alpha1', kind});
  if (document !== null) origins.set(document, {uid, generation});
  return {document, findings, uid, generation};
}
