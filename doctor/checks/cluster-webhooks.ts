/** The admission webhooks: there, failing closed, led to somebody who answers. */
import {keptSlice} from '../../cluster/services.ts';
import type {Check} from '../check.ts';
import {grave, oncePerCause, verdictOf, type Problem} from '../outcome.ts';
import type {Api, Thing} from '../cluster/api.ts';
import {PATHS, type Webhook, type WebhookConfiguration} from '../cluster/kinds.ts';
import type {ClusterWorld} from '../cluster/world.ts';

/** Every webhook of ours ends so, whoever installed it. */
const OURS = '.sallyport.dev';
interface Found {
  readonly kind: 'mutating' | 'validating';
  readonly configuration: string;
  readonly webhook: Webhook;
}

/** Ours, of both kinds. */
export async function ourWebhooks(api: Api): Promise<Found[]> {
  const found: Found[] = [];
  for (const kind of ['mutating', 'validating'] as const)
    for (const {metadata, webhooks = []} of await api.list<WebhookConfiguration>(PATHS[kind]))
      for (const webhook of webhooks)
        if (webhook.name.endsWith(OURS)) found.push({kind, configuration: metadata.name, webhook});
  return found;
}

/** What to do where they are not as the chart makes them. */
export const INSTALL = 'Install or upgrade the chart; a configuration that somebody edited by hand is put back by it.';

export const clusterWebhooks: Check<ClusterWorld> = {
  name: 'cluster.webhooks',
  looks: 'webhook configurations and who answers them',
  run: async ({api}) => {
    const found = await ourWebhooks(api);
    const problems: Problem[] = [];
    for (const kind of ['mutating', 'validating'] as const)
      if (!found.some((one) => one.kind === kind))
        problems.push(grave(`there is no ${kind} webhook of ours: pods are created as they are`, INSTALL));
    for (const {configuration, webhook} of found) {
      const where = `${configuration}/${webhook.name}`;
      if (webhook.failurePolicy === 'Ignore')
        problems.push(
          grave(
            `${where} has failurePolicy Ignore: while the webhook is down, pods start unguarded`,
            'Set failurePolicy: Fail.',
          ),
        );
      const rules = webhook.rules ?? [];
      if (
        !rules.some((rule) => rule.resources?.includes('pods') === true && rule.operations?.includes('CREATE') === true)
      )
        problems.push(grave(`${where} is not asked about the creation of pods`, INSTALL));
      if (!rules.some((rule) => rule.resources?.includes('pods/ephemeralcontainers') === true))
        problems.push(grave(`${where} is not asked about ephemeral containers: kubectl debug goes past it`, INSTALL));
      problems.push(...(await answeredBy(api, where, webhook)));
    }
    return verdictOf(oncePerCause(problems), `${found.length} webhooks, failing closed`);
  },
};

async function answeredBy(api: Api, where: string, {clientConfig: {service}}: Webhook): Promise<Problem[]> {
  if (service === undefined) return [];
  const slices = await api.list<Thing>(`/apis/discovery.k8s.io/v1/namespaces/${service.namespace}/endpointslices`);
  const isReady = slices
    .map((slice) => keptSlice(slice as object))
    .some((kept) => kept?.service === `${service.namespace}/${service.name}` && kept.ready.length > 0);
  return isReady
    ? []
    : [
        grave(
          `${where}: the Service ${service.namespace}/${service.name} has no ready endpoint: pods that ask to be guarded cannot be created`,
          `See kubectl get pods -n ${service.namespace}: the injector has to run.`,
        ),
      ];
}
