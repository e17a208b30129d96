/** Sees to it that every namespace that needs the trust bundle has it, whatever anybody does to it. */
import type {KubeConfig, KubernetesObject} from '@kubernetes/client-node';
import {ANNOTATIONS, LABELS, TRUST_KEYS} from '../../runtime/names.ts';
import {startReflector, type Reflector} from '../reflector.ts';
import {createWorkQueue} from './queue.ts';
import {applyBundle, type Bundle} from './trust.ts';

export interface TrustKeeperOptions {
  readonly config: KubeConfig;
  readonly configMap: string;
  readonly bundle: Bundle;
  readonly onApplied: (namespace: string) => void;
  readonly onFailed: (namespace: string, error: unknown, retryMs: number) => void;
  readonly onTrouble: (message: string, retryMs: number) => void;
}

/**
 * A namespace needs it where it is labelled for injection, or where a pod was injected by a label of its own. It keeps it
 * when the last such pod ends: others may be on their way.
 */
export function keepTrust(options: TrustKeeperOptions): {stop(): void} {
  const {config, configMap, bundle, onTrouble} = options;
  const needing = new Set<string>();
  const ending = new Set<string>();
  const queue = createWorkQueue(async (namespace) => {
    if (ending.has(namespace)) return;
    await applyBundle(config, namespace, configMap, bundle);
    options.onApplied(namespace);
  }, options.onFailed);
  const needs = (namespace: string): void => {
    if (needing.has(namespace)) return;
    needing.add(namespace);
    queue.add(namespace);
  };
  const forget = (namespace: string): void => {
    ending.add(namespace);
    needing.delete(namespace);
  };

  const namespaces = startReflector<'enabled' | 'ending' | 'other'>({
    config,
    resource: {apiVersion: 'v1', kind: 'Namespace', path: '/api/v1/namespaces'},
    keep: (object) => {
      if (object.metadata?.deletionTimestamp != null) return 'ending';
      return object.metadata?.labels?.[LABELS.injection] === 'enabled' ? 'enabled' : 'other';
    },
    onChange: (name, now) => {
      if (now === null || now === 'ending') return forget(name);
      ending.delete(name);
      if (now === 'enabled') needs(name);
    },
    onSynced: () => {},
    onTrouble,
  });
  const pods = startReflector<true>({
    config,
    resource: {apiVersion: 'v1', kind: 'Pod', path: '/api/v1/pods'},
    keep: (object) => (object.metadata?.annotations?.[ANNOTATIONS.status] === undefined ? null : true),
    onChange: (key, now) => {
      if (now !== null) needs(key.split('/')[0]!);
    },
    onSynced: () => {},
    onTrouble,
  });
  const copies = startReflector<string>({
    config,
    resource: {
      ...{apiVersion: 'v1', kind: 'ConfigMap', path: '/api/v1/configmaps'},
      fieldSelector: `metadata.name=${configMap}`,
    },
    keep: pemOf,
    onChange: (key, now) => {
      const namespace = key.split('/')[0]!;
      // Gone, or changed by somebody else.
      if (needing.has(namespace) && now !== bundle.data[TRUST_KEYS.bundle]) queue.add(namespace);
    },
    onSynced: () => {},
    onTrouble,
  });
  const reflectors: readonly Reflector<unknown>[] = [namespaces, pods, copies];
  return {
    stop() {
      for (const reflector of reflectors) reflector.stop();
      queue.stop();
    },
  };
}

function pemOf(object: KubernetesObject): string {
  return (object as {data?: Record<string, string>}).data?.[TRUST_KEYS.bundle] ?? '';
}
