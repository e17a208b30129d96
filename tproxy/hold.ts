/** How a workload is held. */
import {modesSelecting, type PolicySet, type Workload} from '../policy/index.ts';

/** One that only Audit policies select is captured, not locked; every other one is locked (DESIGN §4). */
export function holdOf(policies: PolicySet | 'not-loaded', workload: Workload): 'locked' | 'captured' {
  if (policies === 'not-loaded') return 'locked';
  const modes = modesSelecting(policies, workload);
  return modes.has('Audit') && !modes.has('Enforce') ? 'captured' : 'locked';
}
