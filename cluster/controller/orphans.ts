/** Takes away what agents said whose nodes are gone: they do not come back to do it. */
import {CustomObjectsApi, type KubeConfig} from '@kubernetes/client-node';
import {createWorkQueue, type WorkQueue} from './queue.ts';

const EGRESS_NODES = {group: 'sallyport.dev', version: 'v1alpha1', plural: 'egressnodes'} as const;

/** Names of EgressNodes to delete. An agent that is there after all writes its report again. */
export function createOrphanage(
  config: KubeConfig,
  failed: (object: string, error: unknown, retryMs: number) => void,
): WorkQueue {
  const api = config.makeApiClient(CustomObjectsApi);
  return createWorkQueue(
    async (name) => {
      try {
        await api.deleteClusterCustomObject({...EGRESS_NODES, name});
      } catch (error) {
        if ((error as {code?: unknown}).code !== 404) throw error;
      }
    },
    (name, error, retryMs) => failed(`EgressNode ${name}`, error, retryMs),
  );
}
