/** The workload table of a cluster: pods, with the labels of their namespaces, as they are now. */
import type {KubeConfig} from '@kubernetes/client-node';
import type {Address} from '../policy/index.ts';
import type {WorkloadEntry} from '../sources/workload-table.ts';
import {guardOf, mtlsOf, podFacts, type PodFacts} from './pod-facts.ts';
import {startReflector, type Reflector} from './reflector.ts';

export interface WorkloadsOptions {
  readonly config: KubeConfig;
  /** Only the pods of this node; null: all. */
  readonly node: string | null;
  /** The whole table, after every change; changes of one moment come as one. */
  readonly onChange: (entries: readonly WorkloadEntry[]) => void;
  readonly onTrouble: (message: string, retryMs: number, kind: string) => void;
  readonly onWell?: (kind: string) => void;
}

export interface Workloads {
  /** Resolves when pods and namespaces are whole for the first time, after `onChange` was told. */
  readonly synced: Promise<void>;
  stop(): void;
}

/** A page of pods is parsed as a whole, 10 kB each and more, and what is kept of one is a hundredth. */
const PAGE_PODS = 100;

/** Starts at once. While the API server is away the last table stays. */
export function watchWorkloads({config, node, onChange, onTrouble, onWell}: WorkloadsOptions): Workloads {
  let told: NodeJS.Immediate | null = null;
  let whole!: () => void;
  const synced = new Promise<void>((resolve) => (whole = resolve));
  const reflectors: Reflector<unknown>[] = [];
  const tell = (): void => {
    told ??= setImmediate(() => {
      told = null;
      if (!pods.synced() || !namespaces.synced()) return;
      onChange(tableOf([...pods.store.values()], namespaces.store));
      whole();
    });
  };
  const pods = startReflector<PodFacts>({
    config,
    resource: {
      ...{apiVersion: 'v1', kind: 'Pod', path: '/api/v1/pods', pageObjects: PAGE_PODS},
      ...(node === null ? {} : {fieldSelector: `spec.nodeName=${node}`}),
    },
    ...{keep: podFacts, onChange: tell, onSynced: tell, onTrouble, onWell},
  });
  const namespaces = startReflector<Readonly<Record<string, string>>>({
    config,
    resource: {apiVersion: 'v1', kind: 'Namespace', path: '/api/v1/namespaces'},
    ...{keep: ({metadata}) => metadata?.labels ?? {}, onChange: tell, onSynced: tell, onTrouble, onWell},
  });
  reflectors.push(pods, namespaces);
  return {
    synced,
    stop() {
      if (told !== null) clearImmediate(told);
      for (const reflector of reflectors) reflector.stop();
    },
  };
}

/**
 * One entry a pod, also where it has no address: it is there, and what was known of it holds. An address that two pods have is
 * the younger's: the older one's end has not been told yet. Times are in seconds, so of two of one second the later in `pods` is
 * the younger: they come in the order in which they were first seen.
 */
export function tableOf(
  pods: readonly PodFacts[],
  namespaceLabels: ReadonlyMap<string, Readonly<Record<string, string>>>,
): WorkloadEntry[] {
  const owner = new Map<Address, PodFacts>();
  for (const pod of pods)
    for (const ip of pod.ips) {
      const other = owner.get(ip);
      if (other === undefined || pod.createdAt >= other.createdAt) owner.set(ip, pod);
    }
  return pods.map((pod) => {
    const ips = pod.ips.filter((ip) => owner.get(ip) === pod);
    const {namespace, name, uid, labels, serviceAccount, trustsCa} = pod;
    // null where the namespace is too new to be known: what looks at its labels contributes its Deny rules until it is.
    const labelsOfNamespace = namespaceLabels.get(namespace) ?? null;
    const workload = {
      ...{namespace, name, uid, labels, serviceAccount, trustsCa, node: pod.node},
      namespaceLabels: labelsOfNamespace,
    };
    const mtls = mtlsOf(pod, labelsOfNamespace);
    const guarded = guardOf(pod, labelsOfNamespace);
    return {workload, ips, interface: null, guarded, ...(mtls === null ? {} : {mtls})};
  });
}
