/** What a node's agent says that it enforces: the status of the EgressNode of that name. */
import type {KubernetesObject} from '@kubernetes/client-node';

/** A policy as the agent has it in force: of one name and generation there may have been another one before. */
export interface PolicyInForce {
  readonly kind: 'EgressPolicy' | 'ClusterEgressPolicy';
  /** null for a cluster policy. */
  readonly namespace: string | null;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
}

export interface MissingRef {
  readonly proxy: string;
  readonly message: string;
}

export interface NodeReport {
  /** Of the agent. */
  readonly version: string;
  /** The kernel's: after a reboot nothing of an older report holds. */
  readonly bootId: string;
  /** Rules are in the kernel and workers listen. */
  readonly ready: boolean;
  /** Those that select a pod of this node; what selects nobody here is held by nobody here. */
  readonly policies: readonly PolicyInForce[];
  /** UIDs of pods that get nothing out but through us, and of those whose traffic is only seen (Audit). */
  readonly locked: readonly string[];
  readonly captured: readonly string[];
  /** UpstreamProxies that cannot be used here, and why. */
  readonly missingRefs: readonly MissingRef[];
}

/** A node has 110 pods by default, 500 at the utmost; etcd takes 1.5 MB, and 2,000 policies are 400 kB. */
export const REPORT_LIMITS = {pods: 2_000, policies: 2_000, missingRefs: 64, messageCharacters: 512} as const;

/** How often an agent writes where nothing changes, so that one that is dead is noticed. */
export const HEARTBEAT_MS = 60_000;
/** Three heartbeats that did not come, and somewhat for a slow API server. */
export const SILENT_AFTER_MS = 200_000;

/** The status as it is written, but for the times. What is over the limits is left out, and so counts as not enforced. */
export function statusOf(report: NodeReport): Record<string, unknown> {
  const {version, bootId, ready, policies, locked, captured, missingRefs} = report;
  const {missingRefs: maxMissing, messageCharacters} = REPORT_LIMITS;
  const pods = <T>(list: readonly T[]): readonly T[] => list.slice(0, REPORT_LIMITS.pods);
  return {
    ...{version, bootID: bootId, ready},
    policies: policies
      .slice(0, REPORT_LIMITS.policies)
      .map(({namespace, ...rest}) => ({...rest, ...(namespace === null ? {} : {namespace})})),
    ...{locked: pods(locked), captured: pods(captured)},
    missingRefs: missingRefs
      .slice(0, maxMissing)
      .map(({proxy, message}) => ({proxy, message: message.slice(0, messageCharacters)})),
    counts: {locked: locked.length, captured: captured.length, policies: policies.length},
  };
}

interface Written extends KubernetesObject {
  readonly status?: {
    readonly version?: string;
    readonly bootID?: string;
    readonly ready?: boolean;
    readonly policies?: readonly (Omit<PolicyInForce, 'namespace'> & {readonly namespace?: string})[];
    readonly locked?: readonly string[];
    readonly captured?: readonly string[];
    readonly missingRefs?: readonly MissingRef[];
  };
}

/** null where the agent has not written yet. The API server has checked the types. */
export function reportOf(object: KubernetesObject): NodeReport | null {
  const {status} = object as Written;
  if (status === undefined) return null;
  return {
    version: status.version ?? '',
    bootId: status.bootID ?? '',
    ready: status.ready ?? false,
    policies: (status.policies ?? []).map((policy) => ({...policy, namespace: policy.namespace ?? null})),
    locked: status.locked ?? [],
    captured: status.captured ?? [],
    missingRefs: status.missingRefs ?? [],
  };
}
