/** What the API server believes of our webhooks: `caBundle` of the configurations that lead to our Services. */
import {
  AdmissionregistrationV1Api,
  PatchStrategy,
  setHeaderOptions,
  type KubeConfig,
  type V1MutatingWebhookConfiguration,
  type V1ValidatingWebhookConfiguration,
} from '@kubernetes/client-node';

export interface WebhookTrustOptions {
  readonly config: KubeConfig;
  /** Of our Services. */
  readonly namespace: string;
  readonly services: readonly string[];
  /** Of the configurations, in both kinds; one that is not there is no error: it may come. */
  readonly names: readonly string[];
}

type Configuration = V1MutatingWebhookConfiguration | V1ValidatingWebhookConfiguration;

interface PatchStep {
  readonly op: 'test' | 'add';
  readonly path: string;
  readonly value: string;
}

/** cert-manager's cainjector keeps these itself: two that write would write for ever. */
const CERT_MANAGER = 'cert-manager.io/inject-';
const FIELD_MANAGER = 'sallyport-controller';
const NOT_FOUND = 404;

/** Writes the roots into every webhook that leads to us; tells which configurations had to be written. Rejects with the API's error. */
export async function trustWebhooks(roots: readonly string[], options: WebhookTrustOptions): Promise<string[]> {
  const api = options.config.makeApiClient(AdmissionregistrationV1Api);
  const caBundle = Buffer.from(roots.join('')).toString('base64');
  const header = setHeaderOptions('Content-Type', PatchStrategy.JsonPatch);
  const written: string[] = [];
  for (const name of options.names)
    for (const [kind, read, patch] of [
      [
        'MutatingWebhookConfiguration',
        () => api.readMutatingWebhookConfiguration({name}),
        (body: PatchStep[]) => api.patchMutatingWebhookConfiguration({name, body, fieldManager: FIELD_MANAGER}, header),
      ],
      [
        'ValidatingWebhookConfiguration',
        () => api.readValidatingWebhookConfiguration({name}),
        (body: PatchStep[]) =>
          api.patchValidatingWebhookConfiguration({name, body, fieldManager: FIELD_MANAGER}, header),
      ],
    ] as const) {
      const found = await ignoreMissing<Configuration>(read());
      const steps = found === null ? [] : patchOf(found, caBundle, options);
      if (steps.length === 0) continue;
      await patch(steps);
      written.push(`${kind} ${name}`);
    }
  return written;
}

/**
 * The steps that bring the bundle into each webhook of ours; none where it is there. Each says first which webhook it means,
 * and all of them which version: a configuration that changed meanwhile refuses the whole patch.
 */
export function patchOf(
  configuration: Configuration,
  caBundle: string,
  {namespace, services}: Pick<WebhookTrustOptions, 'namespace' | 'services'>,
): PatchStep[] {
  const {metadata, webhooks = []} = configuration;
  if (Object.keys(metadata?.annotations ?? {}).some((key) => key.startsWith(CERT_MANAGER))) return [];
  const steps = webhooks.flatMap(({name, clientConfig}, index): PatchStep[] => {
    const {service} = clientConfig;
    const ours = service?.namespace === namespace && services.includes(service.name);
    if (!ours || clientConfig.caBundle === caBundle) return [];
    return [
      {op: 'test', path: `/webhooks/${index}/name`, value: name},
      {op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value: caBundle},
    ];
  });
  if (steps.length === 0) return [];
  return [{op: 'test', path: '/metadata/resourceVersion', value: metadata?.resourceVersion ?? ''}, ...steps];
}

async function ignoreMissing<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if ((error as {code?: unknown}).code === NOT_FOUND) return null;
    throw error;
  }
}
