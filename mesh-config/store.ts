/** Istio's objects in a cluster: listed, written by server-side apply, removed. */
import {CoreV1Api, CustomObjectsApi, PatchStrategy, setHeaderOptions, type KubeConfig} from '@kubernetes/client-node';
import {SallyportError} from '../runtime/errors.ts';
import {idOf, type Live} from './plan.ts';
import {versionIn} from './versions.ts';
import type {
  EnvoyFilter,
  Named,
  NetworkPolicy,
  Proxy,
  Service,
  ServiceEntry,
  SidecarResource,
  Surroundings,
} from './surroundings.ts';
import type {IstioObject} from './objects.ts';

const GROUP = 'networking.istio.io';
interface Served {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
}
/** The kinds that are generated. */
const KINDS = {
  ServiceEntry: {group: GROUP, version: 'v1', plural: 'serviceentries'},
  EnvoyFilter: {group: GROUP, version: 'v1alpha3', plural: 'envoyfilters'},
  DestinationRule: {group: GROUP, version: 'v1', plural: 'destinationrules'},
  AuthorizationPolicy: {group: 'security.istio.io', version: 'v1', plural: 'authorizationpolicies'},
  NetworkPolicy: {group: 'networking.k8s.io', version: 'v1', plural: 'networkpolicies'},
  Gateway: {group: 'gateway.networking.k8s.io', version: 'v1', plural: 'gateways'},
} as const satisfies Readonly<Record<string, Served>>;
/** Of the Gateway API, which a mesh without waypoints need not have. */
const OPTIONAL: Served = KINDS.Gateway;
const FIELD_MANAGER = 'sallyport-mesh-config';
const APPLY = setHeaderOptions('Content-Type', PatchStrategy.ServerSideApply);

export interface Store {
  /** Every object of the kinds that are generated. */
  list(): Promise<readonly Live[]>;
  /** What the object would be, or is. A field that somebody else has set differently is a conflict, unless `force`. */
  write(object: IstioObject, options: {readonly dryRun: boolean; readonly force: boolean}): Promise<Live>;
  /** Only as it was listed: changed since then, it is left, and that is an error. */
  remove(object: Live): Promise<void>;
  /** What stands beside what is generated. */
  surroundings(namespace: string, revision: string): Promise<Surroundings>;
  /** The `mesh` of Istio's ConfigMap; null: there is none. */
  mesh(namespace: string, revision: string): Promise<string | null>;
}

/** All of it rejects with SallyportError: `IstioMissing`, `ApplyConflict`, `ClusterRefused`, `ClusterAway`. */
export function clusterStore(config: KubeConfig): Store {
  const custom = config.makeApiClient(CustomObjectsApi);
  const core = config.makeApiClient(CoreV1Api);
  const place = (object: IstioObject) => ({
    ...KINDS[object.kind as keyof typeof KINDS],
    namespace: object.metadata.namespace,
    name: object.metadata.name,
  });
  const all = async <T extends Named>(kind: string, where: Served) => {
    const {group, version, plural} = where;
    const answer: unknown = await asked(`${plural}.${group}`, () =>
      custom.listClusterCustomObject({group, version, plural}),
    ).catch((error: unknown) => {
      if (where === OPTIONAL && (error as SallyportError).code === 'IstioMissing') return {items: []};
      throw error;
    });
    // Entries of a list do not say what they are.
    return (answer as {items: T[]}).items.map((item) => ({...item, apiVersion: `${group}/${version}`, kind}));
  };
  const mesh = async (namespace: string, revision: string): Promise<string | null> => {
    const name = revision === 'default' ? 'istio' : `istio-${revision}`;
    try {
      return (await core.readNamespacedConfigMap({namespace, name})).data?.['mesh'] ?? null;
    } catch (error) {
      if ((error as {code?: unknown}).code === 404) return null;
      throw asError(`ConfigMap ${namespace}/${name}`, error);
    }
  };
  return {
    list: async () => (await Promise.all(Object.entries(KINDS).map(([kind, where]) => all<Live>(kind, where)))).flat(),
    async surroundings(namespace, revision) {
      const services = asked('services', () => core.listServiceForAllNamespaces());
      // The injector gives every pod with a proxy this label.
      const injected = pods(core, 'security.istio.io/tlsMode', 'istio-proxy', null);
      const istiods = pods(core, `app=istiod,istio.io/rev=${revision}`, 'discovery', namespace);
      return {
        istiods: await istiods,
        proxies: await injected,
        serviceEntries: await all<ServiceEntry>('ServiceEntry', KINDS.ServiceEntry),
        services: (await services).items.map((item) => ({...item, kind: 'Service'})) as unknown as Service[],
        sidecars: await all<SidecarResource>('Sidecar', {group: GROUP, version: 'v1', plural: 'sidecars'}),
        envoyFilters: await all<EnvoyFilter>('EnvoyFilter', KINDS.EnvoyFilter),
        networkPolicies: await all<NetworkPolicy>('NetworkPolicy', KINDS.NetworkPolicy),
        mesh: await mesh(namespace, revision),
      };
    },
    async write(object, {dryRun, force}) {
      const patch = {...place(object), body: object, fieldManager: FIELD_MANAGER, force};
      const asking = dryRun ? {...patch, dryRun: 'All'} : patch;
      return (await asked(idOf(object), () => custom.patchNamespacedCustomObject(asking, APPLY))) as Live;
    },
    async remove(object) {
      const {uid, resourceVersion} = object.metadata;
      const body = {preconditions: {uid, resourceVersion}};
      await asked(idOf(object), () => custom.deleteNamespacedCustomObject({...place(object), body}));
    },
    mesh,
  };
}

/** Pods by label, with the version of one container's image. */
async function pods(
  core: CoreV1Api,
  labelSelector: string,
  container: string,
  namespace: string | null,
): Promise<Proxy[]> {
  const {items} = await asked('pods', () =>
    namespace === null
      ? core.listPodForAllNamespaces({labelSelector})
      : core.listNamespacedPod({namespace, labelSelector}),
  );
  return items.map(({metadata = {}, spec}) => {
    const {name = '', namespace: of = '', labels = {}} = metadata;
    const found = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].find((one) => one.name === container);
    // The label is the chart's of istiod; on a pod with a sidecar it is the application's own version.
    const label = container === 'discovery' ? labels['app.kubernetes.io/version'] : undefined;
    return {kind: 'Pod', metadata: {name, namespace: of, labels}, version: versionIn(label, found?.image)};
  });
}

async function asked<T>(what: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw asError(what, error);
  }
}

function asError(what: string, cause: unknown): SallyportError {
  const {code} = cause as {code?: unknown};
  const says = messageOf(cause);
  if (code === 404 && !what.includes(' '))
    return new SallyportError('IstioMissing', `the cluster has no ${what}`, 'Install Istio first.', {cause});
  if (code === 409)
    return new SallyportError(
      'ApplyConflict',
      `${what}: ${says}`,
      'See who changed it; --force-conflicts takes it over.',
      {cause},
    );
  if (typeof code === 'number')
    return new SallyportError('ClusterRefused', `${what}: ${says}`, 'The API server says why.', {cause});
  return new SallyportError('ClusterAway', `${what}: ${says}`, 'Is the API server of --kubeconfig there?', {cause});
}

/** The API server's own message, in one line. */
function messageOf(cause: unknown): string {
  const {body, message} = cause as {body?: unknown; message?: unknown};
  const text = typeof body === 'string' ? body : JSON.stringify(body ?? {});
  try {
    const said = (JSON.parse(text) as {message?: unknown}).message;
    if (typeof said === 'string') return said.split('\n').join(' ');
  } catch {
    // Not the API server's JSON: something in between has answered.
  }
  return String(message).split('\n')[0]!;
}
