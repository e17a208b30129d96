/** Whether a policy's pods are held to it: a pure function of the pods and of what the agents of their nodes say. */
import type {NodeReport} from '../node-report/report.ts';
import type {RunningPod} from './enforced-pods.ts';
import type {Condition} from './conditions.ts';

/** The policy as it is to be in force. */
export interface Wanted {
  /** `EgressPolicy default/web`. */
  readonly id: string;
  readonly uid: string;
  readonly generation: number;
  readonly mode: 'Enforce' | 'Audit';
}

/** A node's report, made quick to ask. */
export interface NodeSays {
  readonly bootId: string;
  readonly ready: boolean;
  /** Generation by UID. */
  readonly policies: ReadonlyMap<string, number>;
  readonly locked: ReadonlySet<string>;
  readonly captured: ReadonlySet<string>;
  /** It has given no sign of life for too long. */
  readonly silent: boolean;
}

export const nodeSays = ({bootId, ready, policies, locked, captured}: NodeReport, silent: boolean): NodeSays => ({
  ...{bootId, ready, silent},
  policies: new Map(policies.map(({uid, generation}) => [uid, generation])),
  locked: new Set(locked),
  captured: new Set(captured),
});

/** Why a pod is not held to a policy. */
export type Gap =
  | 'hostNetwork'
  | 'noAgent'
  | 'notReady'
  | 'rebooted'
  | 'silent'
  | 'notCaptured'
  | 'notLocked'
  | 'older'
  /** Envoy may hold it; nobody here sees whether it asks. */
  | 'mesh';

/**
 * null: it is held. `says`: of its node, undefined where there is no agent; `bootId`: the node's own, null where it is not known.
 */
export function gapOf(
  pod: RunningPod,
  {uid, generation, mode}: Wanted,
  says: NodeSays | undefined,
  bootId: string | null,
): Gap | null {
  if (pod.hostNetwork) return 'hostNetwork';
  const held = says !== undefined && (says.locked.has(pod.workload.uid) || says.captured.has(pod.workload.uid));
  if (pod.sidecar && !held) return 'mesh';
  if (says === undefined) return 'noAgent';
  // What was said before the node went down was true of a kernel that is gone.
  if (bootId !== null && says.bootId !== bootId) return 'rebooted';
  if (says.silent) return 'silent';
  if (!says.ready) return 'notReady';
  if (!held) return 'notCaptured';
  if (mode === 'Enforce' && !says.locked.has(pod.workload.uid)) return 'notLocked';
  return says.policies.get(uid) === generation ? null : 'older';
}

/** What passes by itself within seconds: the agent has not heard of the pod or of the policy yet. */
export const PASSING: ReadonlySet<Gap> = new Set<Gap>(['notCaptured', 'notLocked', 'older', 'noAgent', 'notReady']);

export interface PodCounts {
  readonly selected: number;
  readonly enforced: number;
  readonly mesh: number;
  readonly summary: string;
}

export interface Enforced {
  readonly condition: Condition;
  /** null: which pods it would select is not known. */
  readonly pods: PodCounts | null;
}

export interface PodGap {
  readonly pod: RunningPod;
  readonly gap: Gap;
}

/** Of a policy that could not be loaded. */
export function notAccepted(generation: number): Enforced {
  const message = 'it could not be loaded, see Accepted: its last good version, if there was one, stays in force';
  const condition = {type: 'Enforced', status: 'False', reason: 'NotAccepted', message} as const;
  return {condition: {...condition, observedGeneration: generation}, pods: null};
}

/** Of the rest. `selected`: how many pods it selects; `gaps`: those that are not held. */
export function enforced({generation, mode}: Wanted, selected: number, gaps: readonly PodGap[]): Enforced {
  const mesh = gaps.filter(({gap}) => gap === 'mesh').length;
  const silent = gaps.filter(({gap}) => gap === 'silent').length;
  const held = selected - gaps.length;
  const of = (status: Condition['status'], reason: string, message: string): Enforced => ({
    condition: {type: 'Enforced', status, reason, message, observedGeneration: generation},
    pods: {selected, enforced: held, mesh, summary: `${held}/${selected}`},
  });
  const open = gaps.filter(({gap}) => gap !== 'mesh' && gap !== 'silent');
  if (open.length > 0)
    return of('False', 'PodsNotCaptured', `${open.length} of ${selected} pods are not held to it: ${told(open)}`);
  if (silent > 0) return of('Unknown', 'NodeSilent', `not known of ${silent} of ${selected} pods: ${told(gaps)}`);
  if (mesh > 0)
    return of(
      'Unknown',
      'MeshNotSeen',
      `${mesh} of ${selected} pods are in the mesh: ${told(gaps)}. Prove them with sallyport mesh-config verify`,
    );
  if (selected === 0) return of('True', 'NoPods', 'it selects no running pod');
  const message =
    mode === 'Enforce' ? `all ${selected} pods are held to it` : `all ${selected} pods are watched; nothing is refused`;
  return of('True', mode === 'Enforce' ? 'AllPodsCaptured' : 'AllPodsAudited', message);
}

/** Pods that a message names; more are counted. */
const NAMED_PODS = 5;
/** Nodes that a message names for one reason. */
const NAMED_NODES = 3;

/** By reason, with the first pods and nodes. In stable order, so that the same state is the same text. */
function told(gaps: readonly PodGap[]): string {
  const by = new Map<Gap, PodGap[]>();
  for (const one of gaps) {
    const alike = by.get(one.gap);
    if (alike === undefined) by.set(one.gap, [one]);
    else alike.push(one);
  }
  let left = NAMED_PODS;
  const parts = [...by].sort(([a], [b]) => ORDER.indexOf(a) - ORDER.indexOf(b));
  return parts
    .map(([gap, of]) => {
      const names = of.map(({pod: {workload}}) => `${workload.namespace}/${workload.name}`).sort();
      const named = names.slice(0, left);
      left -= named.length;
      const rest = names.length - named.length;
      const pods = [...named, ...(rest > 0 ? [`${rest}${named.length > 0 ? ' more' : ''}`] : [])].join(', ');
      return `${pods} (${whyOf(gap, nodesOf(of))})`;
    })
    .join('; ');
}

const ORDER: readonly Gap[] = [
  ...(['hostNetwork', 'noAgent', 'rebooted', 'notReady', 'notCaptured', 'notLocked', 'older'] as const),
  ...(['silent', 'mesh'] as const),
];

function nodesOf(gaps: readonly PodGap[]): string {
  const nodes = [...new Set(gaps.map(({pod}) => pod.node))].sort();
  const named = nodes.slice(0, NAMED_NODES).join(', ');
  return nodes.length <= NAMED_NODES ? named : `${named} and ${nodes.length - NAMED_NODES} more nodes`;
}

function whyOf(gap: Gap, nodes: string): string {
  switch (gap) {
    case 'hostNetwork':
      return 'on the network of the node, from which they cannot be told';
    case 'noAgent':
      return `no agent on ${nodes}`;
    case 'rebooted':
      return `the agent has not begun since ${nodes} was started anew`;
    case 'notReady':
      return `the agent on ${nodes} is not ready`;
    case 'notCaptured':
      return `not captured on ${nodes}: the posture of the agent leaves them out`;
    case 'notLocked':
      return `watched on ${nodes} and not locked`;
    case 'older':
      return `the agent on ${nodes} has another version of it`;
    case 'silent':
      return `the agent on ${nodes} gives no sign of life`;
    case 'mesh':
      return 'with a sidecar';
  }
}
