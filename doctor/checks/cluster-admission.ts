/** The webhook asked by the API server itself: a pod that must come back injected, and one that must be refused. Dry runs. */
import {ANNOTATIONS, LABELS} from '../../runtime/names.ts';
import type {Check} from '../check.ts';
import {grave, verdictOf, type Problem} from '../outcome.ts';
import {messageOf, type Thing} from '../cluster/api.ts';
import type {ClusterWorld} from '../cluster/world.ts';

const NOT_ASKED =
  'See cluster.webhooks and cluster.namespaces: is the webhook there, and does its namespaceSelector hold this namespace?';

export const clusterAdmission: Check<ClusterWorld> = {
  name: 'cluster.admission',
  looks: 'two dry-run pods: one to be injected, one to be refused',
  run: async ({api, probeNamespace}) => {
    const path = `/api/v1/namespaces/${probeNamespace}/pods`;
    const problems: Problem[] = [];
    const asked = await api.dryCreate(path, pod('sallyport-doctor-inject', 'proxy-env', {}));
    const status = (asked.body as Partial<Thing>).metadata?.annotations?.[ANNOTATIONS.status];
    if (asked.status !== 201)
      problems.push(
        grave(
          `a pod that asks to be injected cannot be created in ${probeNamespace}: ${messageOf(asked.body)}`,
          'If the webhook does not answer, see the injector’s pods; if somebody else refuses the pod, choose another --probe-namespace.',
        ),
      );
    else if (status === undefined)
      problems.push(grave(`a pod labelled ${LABELS.mode}: proxy-env comes back as it was`, NOT_ASKED));
    const bad = await api.dryCreate(path, pod('sallyport-doctor-refuse', 'tproxy', {hostNetwork: true}));
    if (bad.status === 201)
      problems.push(
        grave(`a pod of mode tproxy on the node's network is not refused: it would slip its guard`, NOT_ASKED),
      );
    else if (!messageOf(bad.body).includes('sallyport'))
      problems.push(
        grave(
          `a pod of mode tproxy on the node's network is refused, but not by us: ${messageOf(bad.body)}`,
          'Choose a --probe-namespace where others allow it: what is proved is our webhook, not theirs.',
        ),
      );
    return verdictOf(problems, `in ${probeNamespace} one was injected and the other refused by us`);
  },
};

function pod(name: string, mode: string, spec: object): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name, labels: {[LABELS.inject]: 'true', [LABELS.mode]: mode}},
    spec: {
      ...spec,
      // Accepted under the Pod Security Standard "restricted", and never pulled: it is a dry run.
      automountServiceAccountToken: false,
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: 'RuntimeDefault'}},
      containers: [
        {
          name: 'app',
          image: 'sallyport.invalid/doctor',
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: ['ALL']}},
        },
      ],
    },
  };
}
