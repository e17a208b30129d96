/** Each node's agent, by what it reports; and that all parts are of one version. */
import {reportOf, SILENT_AFTER_MS, type NodeReport} from '../../cluster/node-report/report.ts';
import type {KubernetesObject} from '@kubernetes/client-node';
import type {Check} from '../check.ts';
import {grave, minor, ok, verdictOf, type Problem} from '../outcome.ts';
import type {Api, Thing} from '../cluster/api.ts';
import {PATHS} from '../cluster/kinds.ts';
import type {ClusterWorld} from '../cluster/world.ts';
import {VERSION} from '../../runtime/version.ts';

interface Node extends Thing {
  readonly status?: {readonly nodeInfo?: {readonly bootID?: string}};
}

interface EgressNode extends Thing {
  readonly status?: {readonly heartbeatTime?: string};
}

interface Workload extends Thing {
  readonly status?: {
    readonly desiredNumberScheduled?: number;
    readonly numberReady?: number;
    readonly replicas?: number;
    readonly readyReplicas?: number;
  };
}

/** The chart's labels. */
const SELECTOR = {name: 'app.kubernetes.io/name', version: 'app.kubernetes.io/version'};

/** Reports by node. */
export async function reports(api: Api): Promise<Map<string, {report: NodeReport | null; object: EgressNode}>> {
  const found = await api.list<EgressNode>(PATHS.egressNodes);
  return new Map(
    found.map((object) => [object.metadata.name, {report: reportOf(object as unknown as KubernetesObject), object}]),
  );
}

export const clusterAgents: Check<ClusterWorld> = {
  name: 'cluster.agents',
  looks: 'the agent of each node, by its report (EgressNode)',
  run: async ({api, now}) => {
    const nodes = (await api.list<Node>(PATHS.nodes)).filter(
      ({metadata}) => (metadata.labels?.['kubernetes.io/os'] ?? 'linux') === 'linux',
    );
    const known = await reports(api);
    const problems: Problem[] = [];
    for (const node of nodes) {
      const {name} = node.metadata;
      const {report = null, object} = known.get(name) ?? {};
      if (report === null || object === undefined) {
        problems.push(grave(`node ${name} has no agent: no pod there is captured`, DAEMONSET));
        continue;
      }
      const bootId = node.status?.nodeInfo?.bootID ?? '';
      const heartbeat = Date.parse(object.status?.heartbeatTime ?? '');
      if (bootId !== '' && report.bootId !== bootId)
        problems.push(grave(`node ${name} was restarted and its agent has not reported since`, DAEMONSET));
      else if (!Number.isNaN(heartbeat) && now() - heartbeat > SILENT_AFTER_MS)
        problems.push(
          grave(`the agent of ${name} has been silent since ${new Date(heartbeat).toISOString()}`, DAEMONSET),
        );
      else if (!report.ready)
        problems.push(grave(`the agent of ${name} is not ready`, `Run sallyport doctor node there.`));
      for (const {proxy, message} of report.missingRefs)
        problems.push(grave(`${name}: UpstreamProxy ${proxy} cannot be used: ${message}`, 'Bring what it names.'));
    }
    if (nodes.length === 0) return ok('the cluster has no nodes');
    return verdictOf(problems, `${nodes.length} of ${nodes.length} nodes have one that is ready`);
  },
};

const DAEMONSET = 'See the DaemonSet sallyport-node: kubectl get pods -o wide, and the log of its pod there.';

export const clusterVersions: Check<ClusterWorld> = {
  name: 'cluster.versions',
  looks: 'versions and replicas of our parts',
  run: async ({api, namespace}) => {
    const problems: Problem[] = [];
    const versions = new Map<string, string>([['this command', VERSION]]);
    for (const [node, {report}] of await reports(api))
      if (report !== null && report.version !== '') versions.set(`the agent of ${node}`, report.version);
    for (const kind of ['deployments', 'daemonsets'])
      for (const part of await api.list<Workload>(`/apis/apps/v1/namespaces/${namespace}/${kind}`)) {
        const {labels = {}, name} = part.metadata;
        if (labels[SELECTOR.name] !== 'sallyport') continue;
        const version = labels[SELECTOR.version];
        if (version !== undefined) versions.set(name, version);
        const wanted = part.status?.desiredNumberScheduled ?? part.status?.replicas ?? 0;
        const ready = part.status?.numberReady ?? part.status?.readyReplicas ?? 0;
        if (ready < wanted)
          problems.push(
            (ready === 0 ? grave : minor)(
              `${name}: ${ready} of ${wanted} are ready`,
              `See kubectl describe ${kind.slice(0, -1)} -n ${namespace} ${name}.`,
            ),
          );
      }
    const different = new Set(versions.values());
    if (different.size > 1)
      problems.push(
        minor(
          `versions differ: ${[...versions]
            .slice(0, 5)
            .map(([who, version]) => `${who} is ${version}`)
            .join(', ')}`,
          'Finish the upgrade, or run the doctor of the installed version.',
        ),
      );
    return verdictOf(problems, `all ${versions.size} are ${VERSION}`);
  },
};
