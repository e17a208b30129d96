/** Every check, in the order of the report: from what all else stands on to what is proved in the end. */
import type {Check} from '../check.ts';
import type {ClusterWorld} from '../cluster/world.ts';
import type {NodeWorld} from '../node/world.ts';
import {clusterAdmission} from './cluster-admission.ts';
import {clusterAgents, clusterVersions} from './cluster-agents.ts';
import {clusterApi, clusterClock} from './cluster-api.ts';
import {clusterCertificates} from './cluster-certificates.ts';
import {clusterCrds} from './cluster-crds.ts';
import {clusterNamespaces} from './cluster-namespaces.ts';
import {clusterPods} from './cluster-pods.ts';
import {clusterPolicies} from './cluster-policies.ts';
import {clusterRbac} from './cluster-rbac.ts';
import {clusterTrust} from './cluster-trust.ts';
import {clusterWebhooks} from './cluster-webhooks.ts';
import {nodeAgent, nodeWorkers} from './node-agent.ts';
import {nodeCa} from './node-ca.ts';
import {nodeDataplane} from './node-dataplane.ts';
import {nodeKernel} from './node-kernel.ts';
import {nodeListeners} from './node-listeners.ts';
import {nodeMembers} from './node-members.ts';
import {nodeProbe} from './node-probe.ts';
import {nodeResolver} from './node-resolver.ts';
import {nodeGuard, nodeRules} from './node-rules.ts';
import {nodeRouting} from './node-routing.ts';
import {nodeTools} from './node-tools.ts';

export const NODE_CHECKS: readonly Check<NodeWorld>[] = [
  nodeTools,
  nodeKernel,
  nodeDataplane,
  nodeAgent,
  nodeWorkers,
  nodeListeners,
  nodeRules,
  nodeGuard,
  nodeRouting,
  nodeMembers,
  nodeCa,
  nodeResolver,
  nodeProbe,
];

export const CLUSTER_CHECKS: readonly Check<ClusterWorld>[] = [
  clusterApi,
  clusterClock,
  clusterCrds,
  clusterVersions,
  clusterAgents,
  clusterWebhooks,
  clusterCertificates,
  clusterAdmission,
  clusterNamespaces,
  clusterTrust,
  clusterPolicies,
  clusterPods,
  clusterRbac,
];
