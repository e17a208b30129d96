/** Istio's objects in a cluster: listed, written by server-side apply, removed. */
import {CoreV1Api, CustomObjectsApi, PatchStrategy, setHeaderOptions, type KubeConfig} from '@kubernetes/client-node';
import {SallyportError} from '../runtime/errors.ts';
import type {MeshEgressDocument} from '../policy/index.ts';
import {idOf, type Live} from './plan.ts';
import {askingPod, eachPod, proxyOf} from './pods.ts';
import type {
  EnvoyFilter,
  Named,
  NetworkPolicy,
  Pod,
  Service,
  ServiceEntry,
  SidecarResource,
  Surroundings,
  VirtualService,
  WasmPlugin,
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
const VIRTUAL_SERVICES: Served = {group: GROUP, version: 'v1', plural: 'virtualservices'};
/** Of the Gateway API, which a mesh without waypoints need not have; and what Istio can be installed without. */
const WASM: Served = {group: 'extensions.istio.io', version: 'v1alpha1', plural: 'wasmplugins'};
const OPTIONAL: readonly Served[] = [KINDS.Gateway, WASM];
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
  surroundings(mesh: MeshEgressDocument): Promise<Surroundings>;
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
      if (OPTIONAL.includes(where) && (error as SallyportError).code === 'IstioMissing') return {items: []};
      throw error;
    });
    // Entries of a list do not say what they are.
    return (answer as {items: T[]}).items.map((item) => ({...item, apiVersion: `${group}/${version}`, kind}));
  };
  const configMap = async (namespace: string, name: string, key: string): Promise<string | null> => {
    try {
      return (await core.readNamespacedConfigMap({namespace, name})).data?.[key] ?? null;
    } catch (error) {
      if ((error as {code?: unknown}).code === 404) return null;
      throw asError(`ConfigMap ${namespace}/${name}`, error);
    }
  };
  const ofRevision = (name: string, revision: string): string =>
    revision === 'default' ? name : `${name}-${revision}`;
  const mesh = (namespace: string, revision: string): Promise<string | null> =>
    configMap(namespace, ofRevision('istio', revision), 'mesh');
  return {
    list: async () => (await Promise.all(Object.entries(KINDS).map(([kind, where]) => all<Live>(kind, where)))).flat(),
    async surroundings(intent) {
      const {rootNamespace: namespace, revision} = intent.istio;
      const asking = new Set(intent.enforcement.flatMap((one) => (one.at === 'Sidecar' ? [one.namespace] : [])));
      const where = asking.has(null) || asking.has(namespace) ? [null] : [...asking];
      const pods = await asked('pods', async () => ({
        // The injector gives every pod with a proxy this label.
        injected: await eachPod(
          core,
          {namespace: null, labelSelector: 'security.istio.io/tlsMode'},
          proxyOf('istio-proxy'),
        ),
        istiods: await eachPod(
          core,
          {namespace, labelSelector: `app=istiod,istio.io/rev=${revision}`},
          proxyOf('discovery'),
        ),
        asking: (await Promise.all(where.map((one) => eachPod<Pod>(core, {namespace: one}, askingPod)))).flat(),
      }));
      const services = await asked('services', () => core.listServiceForAllNamespaces());
      const namespaces = await asked('namespaces', () => core.listNamespace());
      return {
        istiods: pods.istiods,
        proxies: pods.injected,
        pods: pods.asking,
        namespaces: new Map(
          namespaces.items.map(({metadata}) => [metadata?.name ?? '', metadata?.labels ?? {}] as const),
        ),
        serviceEntries: await all<ServiceEntry>('ServiceEntry', KINDS.ServiceEntry),
        services: services.items.map((item) => ({...item, kind: 'Service'})) as unknown as Service[],
        sidecars: await all<SidecarResource>('Sidecar', {group: GROUP, version: 'v1', plural: 'sidecars'}),
        virtualServices: await all<VirtualService>('VirtualService', VIRTUAL_SERVICES),
        wasmPlugins: await all<WasmPlugin>('WasmPlugin', WASM),
        envoyFilters: await all<EnvoyFilter>('EnvoyFilter', KINDS.EnvoyFilter),
        networkPolicies: await all<NetworkPolicy>('NetworkPolicy', KINDS.NetworkPolicy),
        mesh: await mesh(namespace, revision),
        injection: await configMap(namespace, ofRevision('istio-sidecar-injector', revision), 'values'),
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
