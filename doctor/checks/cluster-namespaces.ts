/** Namespaces and pods that ask, and whom the webhooks are not asked about. */
import {matchesLabels} from '../../policy/index.ts';
import {LABELS} from '../../runtime/names.ts';
import type {Check} from '../check.ts';
import {fail, grave, verdictOf, type Problem} from '../outcome.ts';
import type {Thing} from '../cluster/api.ts';
import {nameOf, PATHS} from '../cluster/kinds.ts';
import type {ClusterWorld} from '../cluster/world.ts';
import {ourWebhooks} from './cluster-webhooks.ts';

const EXCLUDED = 'Take the label away, or the namespace out of injector.webhook.excludedNamespaces.';

export const clusterNamespaces: Check<ClusterWorld> = {
  name: 'cluster.namespaces',
  looks: 'what is labelled for us, and whether the webhook is asked about it',
  run: async ({api}) => {
    const webhooks = (await ourWebhooks(api)).filter(({kind}) => kind === 'mutating').map(({webhook}) => webhook);
    if (webhooks.length === 0) return fail('there is no mutating webhook of ours', 'Install the chart.');
    const namespaces = new Map((await api.list<Thing>(PATHS.namespaces)).map((one) => [one.metadata.name, one]));
    const labelsOf = (name: string): Readonly<Record<string, string>> => namespaces.get(name)?.metadata.labels ?? {};
    const asked = (namespace: string, labels: Readonly<Record<string, string>>): boolean =>
      webhooks.some(
        (one) =>
          matchesLabels(one.namespaceSelector ?? {}, labelsOf(namespace)) &&
          matchesLabels(one.objectSelector ?? {}, labels),
      );
    const problems: Problem[] = [];
    let opted = 0;
    for (const {metadata} of namespaces.values()) {
      if (metadata.labels?.[LABELS.injection] !== 'enabled') continue;
      opted++;
      // A pod that says nothing itself: its namespace speaks for it.
      if (!asked(metadata.name, {}))
        problems.push(
          grave(`namespace ${metadata.name} opts in, and the webhook is not asked about its pods`, EXCLUDED),
        );
    }
    for (const pod of await api.list<Thing>(PATHS.pods)) {
      const {labels = {}, namespace = ''} = pod.metadata;
      if (labels[LABELS.inject] !== 'true' && labels[LABELS.mode] === undefined) continue;
      if (!asked(namespace, labels))
        problems.push(grave(`pod ${nameOf(pod)} is labelled for us, and the webhook is not asked about it`, EXCLUDED));
    }
    return verdictOf(problems, `${opted} namespaces opt in, and the webhook is asked about them`);
  },
};
