/** Writes the Accepted condition of every policy and UpstreamProxy. */
import {CustomObjectsApi, PatchStrategy, setHeaderOptions, type KubeConfig} from '@kubernetes/client-node';
import {checkDocuments, describeObject, type Document, type Finding, type Kind} from '../../policy/index.ts';
import {PLURALS, watchDocuments, type ClusterDocument} from '../documents.ts';
import type {Reflector} from '../reflector.ts';
import {accepted, type Condition} from './conditions.ts';
import {createWorkQueue} from './queue.ts';

export interface StatusKeeperOptions {
  readonly config: KubeConfig;
  readonly clusterDomain: string;
  readonly onWritten: (object: string, condition: Condition) => void;
  readonly onFailed: (object: string, error: unknown, retryMs: number) => void;
  readonly onTrouble: (message: string, retryMs: number) => void;
}

const KINDS = ['EgressPolicy', 'ClusterEgressPolicy', 'UpstreamProxy'] as const satisfies readonly Kind[];
const GROUP = {group: 'sallyport.dev', version: 'v1alpha1'} as const;

/** Changes of policies come in bursts (a GitOps sync): what spans documents is worked out once for each burst. */
const SETTLE_MS = 100;

export function keepStatus(options: StatusKeeperOptions): {stop(): void} {
  const {config, onTrouble} = options;
  const api = config.makeApiClient(CustomObjectsApi);
  const reflectors = new Map<Kind, Reflector<ClusterDocument>>();
  /** What was written last, and for how long it has held. */
  const written = new Map<string, {readonly condition: Condition; readonly since: string}>();
  let across = new Map<string, Finding[]>();
  let settling: NodeJS.Timeout | null = null;

  const queue = createWorkQueue(async (id) => {
    const {kind, key} = parseId(id);
    const now = reflectors.get(kind)?.store.get(key);
    if (now === undefined) {
      written.delete(id);
      return;
    }
    const findings = [...now.findings, ...(across.get(id) ?? [])];
    const condition = accepted(findings, now.generation);
    const before = written.get(id);
    if (before !== undefined && same(before.condition, condition)) return;
    const since =
      before?.condition.status === condition.status ? before.since : new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    await write(api, kind, key, {...condition, lastTransitionTime: since});
    written.set(id, {condition, since});
    options.onWritten(`${kind} ${key}`, condition);
  }, options.onFailed);

  const settle = (): void => {
    settling ??= setTimeout(() => {
      settling = null;
      if ([...reflectors.values()].some((reflector) => !reflector.synced())) return;
      across = acrossDocuments(reflectors, options.clusterDomain);
      for (const [kind, reflector] of reflectors) for (const key of reflector.store.keys()) queue.add(idOf(kind, key));
    }, SETTLE_MS);
  };
  for (const kind of KINDS)
    reflectors.set(
      kind,
      watchDocuments({
        ...{config, kind, onTrouble, onSynced: settle},
        onChange: (key, now) => {
          if (now === null) written.delete(idOf(kind, key));
          settle();
        },
      }),
    );
  return {
    stop() {
      if (settling !== null) clearTimeout(settling);
      for (const reflector of reflectors.values()) reflector.stop();
      queue.stop();
    },
  };
}

/** Findings that no document alone gives cause for: a `via` that does not exist, a rule in the shadow of another policy's. */
function acrossDocuments(
  reflectors: ReadonlyMap<Kind, Reflector<ClusterDocument>>,
  clusterDomain: string,
): Map<string, Finding[]> {
  const documents: Document[] = [];
  const ids = new Map<string, string>();
  for (const [kind, reflector] of reflectors)
    for (const [key, {document}] of reflector.store) {
      if (document === null) continue;
      documents.push(document);
      const [namespace, name] = key.includes('/') ? key.split('/') : [undefined, key];
      const object = describeObject({kind, metadata: {name, namespace}});
      if (object !== null) ids.set(object, idOf(kind, key));
    }
  const found = new Map<string, Finding[]>();
  for (const finding of checkDocuments(documents, {clusterDomain})) {
    const id = finding.object === null ? undefined : ids.get(finding.object);
    if (id !== undefined) found.set(id, [...(found.get(id) ?? []), finding]);
  }
  return found;
}

async function write(
  api: CustomObjectsApi,
  kind: Kind,
  key: string,
  condition: Condition & {lastTransitionTime: string},
): Promise<void> {
  const plural = PLURALS[kind];
  const [namespace, name] = key.includes('/') ? (key.split('/') as [string, string]) : [null, key];
  const body = {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind,
    metadata: {name, ...(namespace === null ? {} : {namespace})},
    status: {conditions: [condition]},
  };
  const apply = {...GROUP, plural, name, body, fieldManager: 'sallyport-controller', force: true};
  const options = setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply);
  try {
    if (namespace === null) await api.patchClusterCustomObjectStatus(apply, options);
    else await api.patchNamespacedCustomObjectStatus({...apply, namespace}, options);
  } catch (error) {
    // Deleted meanwhile: there is nothing to say any more.
    if ((error as {code?: unknown}).code !== 404) throw error;
  }
}

const idOf = (kind: Kind, key: string): string => `${kind} ${key}`;

function parseId(id: string): {kind: Kind; key: string} {
  const space = id.indexOf(' ');
  return {kind: id.slice(0, space) as Kind, key: id.slice(space + 1)};
}

function same(a: Condition, b: Condition): boolean {
  return (
    a.status === b.status &&
    a.reason === b.reason &&
    a.message === b.message &&
    a.observedGeneration === b.observedGeneration
  );
}
