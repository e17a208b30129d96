/** Namespaces by name, with what policies and the injector look at. */
import {CoreV1Api, type KubeConfig, type KubernetesObject} from '@kubernetes/client-node';
import {startReflector, type Reflector} from './reflector.ts';

export interface ClusterNamespace {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Namespaces {
  /** From the copy, or asked for where it is too new to be in it; null: there is none. Rejects where it cannot be asked for. */
  find(name: string): Promise<ClusterNamespace | null>;
  /** Resolves when the copy is whole for the first time. */
  readonly synced: Promise<void>;
  stop(): void;
}

const OURS = 'sallyport.dev/';

/** `onTrouble` is told where the API server does not answer; it is asked again. */
export function watchNamespaces(config: KubeConfig, onTrouble: (message: string, retryMs: number) => void): Namespaces {
  const api = config.makeApiClient(CoreV1Api);
  let reflector!: Reflector<ClusterNamespace>;
  const synced = new Promise<void>((resolve) => {
    reflector = startReflector({
      config,
      resource: {apiVersion: 'v1', kind: 'Namespace', path: '/api/v1/namespaces'},
      keep: namespaceOf,
      onChange: () => {},
      onSynced: resolve,
      onTrouble,
    });
  });
  return {
    synced,
    async find(name) {
      const known = reflector.store.get(name);
      if (known !== undefined) return known;
      try {
        return namespaceOf(await api.readNamespace({name}));
      } catch (error) {
        if ((error as {code?: unknown}).code === 404) return null;
        throw error;
      }
    },
    stop: () => reflector.stop(),
  };
}

function namespaceOf({metadata}: KubernetesObject): ClusterNamespace {
  const {name = '', labels = {}, annotations = {}} = metadata ?? {};
  // Others' annotations can be large, and nobody here reads them.
  const ours = Object.entries(annotations).filter(([key]) => key.startsWith(OURS));
  return {name, labels, annotations: Object.fromEntries(ours)};
}
