/** Writes the status subresource of our objects. */
import {CustomObjectsApi, PatchStrategy, setHeaderOptions, type KubeConfig} from '@kubernetes/client-node';
import type {AnyKind} from '../../policy/index.ts';
import {PLURALS} from '../documents.ts';
import {statusIn, type Status} from './status.ts';

const GROUP = {group: 'sallyport.dev', version: 'v1alpha1'} as const;
const APPLY = setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply);

/** Resolves with the status as it is then; null: the object is gone, and there is nothing to say any more. */
export type WriteStatus = (kind: AnyKind, key: string, status: Record<string, unknown>) => Promise<Status | null>;

/** `key`: `namespace/name`, or `name`. */
export function statusWriter(config: KubeConfig): WriteStatus {
  const api = config.makeApiClient(CustomObjectsApi);
  return async (kind, key, status) => {
    const slash = key.indexOf('/');
    const namespace = slash === -1 ? null : key.slice(0, slash);
    const name = key.slice(slash + 1);
    const metadata = {name, ...(namespace === null ? {} : {namespace})};
    const body = {apiVersion: 'sallyport.dev/v1alpha1', kind, metadata, status};
    const plural = PLURALS[kind];
    const apply = {...GROUP, plural, name, body, fieldManager: 'sallyport-controller', force: true};
    try {
      const written: unknown =
        namespace === null
          ? await api.patchClusterCustomObjectStatus(apply, APPLY)
          : await api.patchNamespacedCustomObjectStatus({...apply, namespace}, APPLY);
      return statusIn(written);
    } catch (error) {
      if ((error as {code?: unknown}).code === 404) return null;
      throw error;
    }
  };
}
