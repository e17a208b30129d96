/** NetworkPolicies of others that let pods out past the gateway or waypoint: policies add up, and ours takes nothing back. Pure. */
import {mayShareLabels, type MeshEgressDocument} from '../../policy/index.ts';
import {isPrivate} from '../outside.ts';
import {isOurs, nameOf, type NetworkPolicy, type Surroundings} from '../surroundings.ts';
import type {Conflict} from '../verify.ts';
import {IS_GATEWAY} from '../waypoint/waypoint.ts';

export function openedByNetworkPolicies(
  mesh: MeshEgressDocument,
  {networkPolicies}: Surroundings,
): readonly Conflict[] {
  return networkPolicies.flatMap((policy): readonly Conflict[] => {
    const {namespace} = policy.metadata;
    const led = mesh.enforcement.some(
      (one) => one.at !== 'Sidecar' && one.namespace === namespace && selects(policy, one.labels),
    );
    const open = led && !isOurs(mesh, policy) ? (policy.spec.egress ?? []).flatMap(outside)[0] : undefined;
    if (open === undefined) return [];
    return [
      {
        code: 'OpenedByNetworkPolicy',
        object: nameOf(policy),
        message: `it lets pods of ${namespace} out to ${open} by themselves, past the gateway or waypoint: NetworkPolicies add up`,
        fix: 'Take that out of it, or let it select other pods.',
      },
    ];
  });
}

/** What is for waypoints alone selects other pods. */
function selects({spec: {podSelector = {}}}: NetworkPolicy, labels: Readonly<Record<string, string>>): boolean {
  const wanted = podSelector.matchLabels ?? {};
  return !Object.hasOwn(wanted, IS_GATEWAY) && mayShareLabels(wanted, labels);
}

/** What of one rule is outside of the cluster. Without peers it is for everything. */
function outside({to = []}: NonNullable<NetworkPolicy['spec']['egress']>[number]): readonly string[] {
  if (to.length === 0) return ['everything'];
  return to.flatMap(({ipBlock}) => {
    if (ipBlock === undefined) return [];
    return isPrivate(ipBlock.cidr) ? [] : [ipBlock.cidr];
  });
}
