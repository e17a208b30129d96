/** Values for the tests of this folder. */
import type {NodeReport} from '../node-report/report.ts';
import type {RunningPod} from './enforced-pods.ts';

export function runningPodOf(
  name: string,
  of: Partial<RunningPod> & {readonly labels?: Record<string, string>} = {},
): RunningPod {
  const {labels = {}, ...rest} = of;
  const workload = {
    ...{namespace: 'a', name, uid: `uid-${name}`, labels, namespaceLabels: null},
    ...{serviceAccount: 'default', node: rest.node ?? 'one', trustsCa: false},
  };
  return {workload, node: 'one', hostNetwork: false, sidecar: false, ...rest};
}

export const reportWith = (of: Partial<NodeReport> = {}): NodeReport => ({
  ...{version: '1', bootId: 'boot', ready: true, policies: [], locked: [], captured: [], missingRefs: []},
  ...of,
});
