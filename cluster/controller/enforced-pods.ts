/** What of a Pod matters to whether it is held: a pure function of the object. */
import type {KubernetesObject} from '@kubernetes/client-node';
import type {Workload} from '../../policy/index.ts';
import {hasSidecar} from '../pod-facts.ts';

export interface RunningPod {
  /** Without its namespace's labels, which are watched apart. */
  readonly workload: Workload;
  readonly node: string;
  /** It sends as the node itself, and cannot be told from it. */
  readonly hostNetwork: boolean;
  /** Envoy carries its traffic, if it was told to. */
  readonly sidecar: boolean;
}

interface Container {
  readonly name?: string;
}

interface Pod extends KubernetesObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly serviceAccountName?: string;
    readonly hostNetwork?: boolean;
    readonly containers?: readonly Container[];
    readonly initContainers?: readonly Container[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
  };
}

/** null for a pod that sends nothing: it has no address yet, or has ended. One that is being deleted still sends. */
export function runningPod(object: KubernetesObject): RunningPod | null {
  const {metadata, spec, status} = object as Pod;
  const {namespace, name, uid} = metadata ?? {};
  if (namespace === undefined || name === undefined || uid === undefined || spec?.nodeName === undefined) return null;
  if (status?.podIP === undefined || status.phase === 'Succeeded' || status.phase === 'Failed') return null;
  return {
    workload: {
      ...{namespace, name, uid, labels: metadata?.labels ?? {}, namespaceLabels: null},
      serviceAccount: spec.serviceAccountName ?? 'default',
      node: spec.nodeName,
      trustsCa: false,
    },
    node: spec.nodeName,
    hostNetwork: spec.hostNetwork === true,
    sidecar: hasSidecar(spec),
  };
}
