/** Who of the node's pods is held, and how: the postures. Pure. */
import {modesSelecting, type PolicySet} from '../policy/index.ts';
import type {Known} from '../sources/knowledge.ts';
import type {WorkloadEntry} from '../sources/workload-table.ts';
import type {Hold, Member} from './capture/config.ts';
import {holdOf} from './hold.ts';
import type {Posture} from './settings.ts';

export interface MemberRule {
  readonly posture: Posture;
  /** Namespaces whose pods nobody holds. */
  readonly exempt: ReadonlySet<string>;
  /** Whether the pod of this UID was held before. */
  readonly latched: (uid: string) => boolean;
}

/** Every address that is known; who is not held is `free`. */
export function members({workloads}: Pick<Known, 'workloads'>, policies: PolicySet, rule: MemberRule): Member[] {
  return workloads.flatMap((entry) => {
    const mode = heldAs(entry, policies, rule);
    return entry.ips.map((ip) => ({ip, interface: entry.interface, mode, uid: entry.workload.uid}) as const);
  });
}

/** The first that holds decides. */
export function heldAs({workload, guarded}: WorkloadEntry, policies: PolicySet, rule: MemberRule): Hold {
  const held = holdOf(policies, workload);
  // 1. A file says who is ours.
  if (guarded === 'listed') return held;
  // 2. What the cluster needs to come up, and what is ours: by the installation's word, which no pod can say.
  if (rule.exempt.has(workload.namespace)) return 'free';
  // 3. It asks for us, or did.
  if (guarded === 'asked' || rule.latched(workload.uid)) return held;
  // 4. The mesh's: its own sidecar asks about each request. Only `all` does not take its word for where it goes.
  if (guarded === 'sidecar') return rule.posture === 'all' ? 'sidecar' : 'free';
  switch (rule.posture) {
    case 'annotated':
      return 'free';
    // 5. A policy may select it: held, whether or not the webhook saw it.
    case 'selected':
      return modesSelecting(policies, workload).size > 0 ? held : 'free';
    case 'all':
      return held;
  }
}

/**
 * Whose capture is for as long as the pod lives. Not of a pod whose namespace is not known: what is said of it is a guess on the
 * safe side, and would be for ever.
 */
export function latching({workloads}: Pick<Known, 'workloads'>, policies: PolicySet, rule: MemberRule): string[] {
  return workloads.flatMap((entry) => {
    const {uid, namespaceLabels} = entry.workload;
    if (entry.guarded === 'listed' || namespaceLabels === null) return [];
    const hold = heldAs(entry, policies, rule);
    return hold === 'locked' || hold === 'captured' ? [uid] : [];
  });
}
