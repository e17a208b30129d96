/** Policies and proxies, by their conditions. */
import type {Check} from '../check.ts';
import {grave, minor, verdictOf, type Problem} from '../outcome.ts';
import {nameOf, PATHS, type Conditioned} from '../cluster/kinds.ts';
import type {ClusterWorld} from '../cluster/world.ts';

/** What each kind is told about; the order is that of a report. */
const KINDS = [
  {path: PATHS.egressPolicies, kind: 'EgressPolicy', needs: ['Accepted', 'Enforced']},
  {path: PATHS.clusterPolicies, kind: 'ClusterEgressPolicy', needs: ['Accepted', 'Enforced']},
  {path: PATHS.upstreamProxies, kind: 'UpstreamProxy', needs: ['Accepted']},
] as const;

export const clusterPolicies: Check<ClusterWorld> = {
  name: 'cluster.policies',
  looks: 'conditions of policies and proxies',
  run: async ({api}) => {
    const problems: Problem[] = [];
    let count = 0;
    for (const {path, kind, needs} of KINDS)
      for (const object of await api.list<Conditioned>(path)) {
        count++;
        problems.push(...conditionProblems(`${kind} ${nameOf(object)}`, object, needs));
      }
    if (count === 0)
      problems.push(minor('there is no policy: what is captured may go nowhere', 'Write one; samples/ has some.'));
    return verdictOf(problems, `${count} objects, accepted and enforced`);
  },
};

/** Pure. */
export function conditionProblems(name: string, object: Conditioned, needs: readonly string[]): Problem[] {
  const {generation = 0} = object.metadata;
  for (const type of needs) {
    const condition = object.status?.conditions?.find((one) => one.type === type);
    if (condition === undefined)
      return [minor(`${name} says nothing of ${type}`, 'See whether the controller runs: it writes conditions.')];
    if ((condition.observedGeneration ?? generation) < generation)
      return [minor(`${name}: ${type} is of an older version of it`, 'Wait; if it stays, see the controller’s log.')];
    const said = `${name}: ${type}=${condition.status} ${condition.reason ?? ''}: ${condition.message ?? ''}`;
    const fix = 'Do what the message says; sallyport check -f FILE tells the same of a file.';
    if (condition.status === 'False') return [grave(said, fix)];
    if (condition.status !== 'True') return [minor(said, fix)];
  }
  return [];
}
