/** Pods that ask to be guarded, and whether they are: injected, held by their node, and from their first packet. */
import {askedMode} from '../../cluster/asked-mode.ts';
import {GUARD_CONTAINER} from '../../injector/guard.ts';
import {POD_CAPTURE_CONTAINERS} from '../../injector/pod-capture.ts';
import {ANNOTATIONS, LABELS} from '../../runtime/names.ts';
import type {Check} from '../check.ts';
import {grave, minor, verdictOf, type Problem} from '../outcome.ts';
import type {Thing} from '../cluster/api.ts';
import {nameOf, PATHS} from '../cluster/kinds.ts';
import type {ClusterWorld} from '../cluster/world.ts';
import {reports} from './cluster-agents.ts';

interface Pod extends Thing {
  readonly spec?: {
    readonly nodeName?: string;
    readonly hostNetwork?: boolean;
    readonly initContainers?: readonly {readonly name: string}[];
  };
  readonly status?: {readonly phase?: string; readonly podIP?: string};
}

const AGAIN = 'Delete the pod, so that it is made again; workloads make theirs anew.';

export const clusterPods: Check<ClusterWorld> = {
  name: 'cluster.pods',
  looks: 'pods that ask to be guarded or that agents hold',
  run: async ({api}) => {
    const namespaces = new Map((await api.list<Thing>(PATHS.namespaces)).map((one) => [one.metadata.name, one]));
    const known = await reports(api);
    const problems: Problem[] = [];
    let guarded = 0;
    let byThemselves = 0;
    for (const pod of await api.list<Pod>(PATHS.pods)) {
      const {status, spec = {}, metadata} = pod;
      if (status?.podIP === undefined || status.phase === 'Succeeded' || status.phase === 'Failed') continue;
      const {labels = {}, annotations = {}, uid = ''} = metadata;
      const asked = askedMode({labels, annotations}, namespaces.get(metadata.namespace ?? '')?.metadata.labels ?? {});
      const wants = asked.kind === 'mode' || asked.kind === 'default';
      const injected = annotations[ANNOTATIONS.status] !== undefined;
      const report = known.get(spec.nodeName ?? '')?.report ?? null;
      const held = report !== null && (report.locked.includes(uid) || report.captured.includes(uid));
      const name = nameOf(pod);
      if (wants && !injected)
        problems.push(
          grave(
            `${name} asks for ${asked.kind === 'mode' ? asked.mode : 'injection'} and was made without the webhook`,
            AGAIN,
          ),
        );
      const capturesItself = injected && labels[LABELS.capture] === 'pod' && hasOwnProxy(spec);
      if (capturesItself) byThemselves++;
      if (asked.kind === 'mode' && asked.mode === 'tproxy' && !held && !capturesItself && spec.hostNetwork !== true)
        problems.push(
          grave(
            `${name} asks for tproxy, and the agent of ${spec.nodeName ?? 'no node'} does not hold it`,
            'See cluster.agents, and sallyport doctor node on that node.',
          ),
        );
      if (asked.kind === 'wrong')
        problems.push(
          grave(
            `${name}: ${asked.said.key} is ${JSON.stringify(asked.said.value)}`,
            `Write one of ${asked.words.join(', ')}.`,
          ),
        );
      if (!held) continue;
      guarded++;
      if (!(spec.initContainers ?? []).some((container) => container.name === GUARD_CONTAINER))
        problems.push(
          minor(
            `${name} is held, and nothing waited for that when it started: a window of milliseconds`,
            'Label it sallyport.dev/mode: tproxy, so that the webhook puts the guard first.',
          ),
        );
    }
    const beside = byThemselves === 0 ? '' : `; ${byThemselves} capture themselves`;
    return verdictOf(problems, `${guarded} pods are held, each from its first packet${beside}`);
  },
};

/** By the names that the webhook keeps to its own containers. */
const hasOwnProxy = ({initContainers = []}: NonNullable<Pod['spec']>): boolean =>
  POD_CAPTURE_CONTAINERS.every((wanted) => initContainers.some(({name}) => name === wanted));
