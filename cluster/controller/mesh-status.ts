/**
 * Keeps Accepted of every MeshEgress true. It is no policy: `sallyport mesh-config` makes objects of it, and no agent says that
 * it is enforced. Apart from the policies, whose conditions are not to wait for a definition or a right that is not there.
 */
import type {KubeConfig} from '@kubernetes/client-node';
import {clusterDocument, PLURALS, type ClusterDocument} from '../documents.ts';
import {startReflector, type Reflector} from '../reflector.ts';
import {accepted, type Condition} from './conditions.ts';
import {createWorkQueue} from './queue.ts';
import {difference, statusIn, toWrite, type Status} from './status.ts';
import {statusWriter} from './status-writer.ts';

export interface MeshStatusOptions {
  readonly config: KubeConfig;
  readonly onWritten: (object: string, condition: Condition) => void;
  readonly onFailed: (object: string, error: unknown, retryMs: number) => void;
  readonly onTrouble: (message: string, retryMs: number) => void;
}

const KIND = 'MeshEgress';

interface Kept extends ClusterDocument {
  readonly status: Status;
}

export function keepMeshStatus({config, onWritten, onFailed, onTrouble}: MeshStatusOptions): {stop(): void} {
  const write = statusWriter(config);
  const queue = createWorkQueue(
    async (name) => {
      const kept = reflector.store.get(name);
      if (kept === undefined) return;
      const wish = {conditions: [accepted(kept.findings, kept.generation)], pods: null} as const;
      if (difference(kept.status, wish) === 'none') return;
      await write(KIND, name, toWrite(kept.status, wish, new Date()));
      onWritten(`${KIND} ${name}`, wish.conditions[0]);
    },
    (name, error, retryMs) => onFailed(`${KIND} ${name}`, error, retryMs),
  );
  const reflector: Reflector<Kept> = startReflector<Kept>({
    ...{config, onTrouble, onSynced: () => undefined},
    resource: {apiVersion: 'sallyport.dev/v1alpha1', kind: KIND, path: `/apis/sallyport.dev/v1alpha1/${PLURALS[KIND]}`},
    keep: (object) => ({...clusterDocument(object, KIND), status: statusIn(object)}),
    onChange: (name) => queue.add(name),
  });
  return {
    stop() {
      reflector.stop();
      queue.stop();
    },
  };
}
