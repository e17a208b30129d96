/**
 * As much of a Kubernetes API as istiod wants to see before it starts: a few namespaces, and nothing else of any kind. Its
 * Istio objects come from files (--configDir); istiod of this version does not start without an API server at all.
 */
import {createServer, type IncomingMessage, type Server, type ServerResponse} from 'node:http';

/** What istiod lists and watches, by group and version; a group that is not here is answered with 404. */
const RESOURCES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  v1: {
    namespaces: 'Namespace',
    configmaps: 'ConfigMap',
    secrets: 'Secret',
    services: 'Service',
    serviceaccounts: 'ServiceAccount',
    pods: 'Pod',
    nodes: 'Node',
    endpoints: 'Endpoints',
    events: 'Event',
  },
  'discovery.k8s.io/v1': {endpointslices: 'EndpointSlice'},
  'networking.k8s.io/v1': {ingresses: 'Ingress', ingressclasses: 'IngressClass'},
  'apiextensions.k8s.io/v1': {customresourcedefinitions: 'CustomResourceDefinition'},
  'admissionregistration.k8s.io/v1': {
    validatingwebhookconfigurations: 'ValidatingWebhookConfiguration',
    mutatingwebhookconfigurations: 'MutatingWebhookConfiguration',
  },
  'coordination.k8s.io/v1': {leases: 'Lease'},
};
const VERSION = {major: '1', minor: '34', gitVersion: 'v1.34.2', platform: 'linux/amd64'};

export function emptyKubeApi(namespaces: readonly string[]): Server {
  return createServer((request, response) => answer(namespaces, request, response));
}

function answer(namespaces: readonly string[], request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://api');
  const parts = url.pathname.split('/').filter((part) => part !== '');
  if (parts[0] === 'version') return say(response, VERSION);
  if (parts[0] !== 'api' && parts[0] !== 'apis') return say(response, 'ok');
  if (parts.length === 1) return say(response, parts[0] === 'api' ? {kind: 'APIVersions', versions: ['v1']} : groups());
  const core = parts[0] === 'api';
  const version = core ? parts[1]! : parts.slice(1, 3).join('/');
  const known = RESOURCES[version];
  const rest = parts.slice(core ? 2 : 3);
  if (known === undefined) return notFound(response);
  if (rest.length === 0) return say(response, resourceList(version, known));
  const plural = rest[0] === 'namespaces' && rest.length > 2 ? rest[2]! : rest[0]!;
  const name = rest[0] === 'namespaces' && rest.length > 2 ? rest[3] : rest[1];
  const kind = known[plural];
  if (kind === undefined) return notFound(response);
  if (request.method !== 'GET') return echo(request, response);
  if (name !== undefined) return notFound(response);
  const items = kind === 'Namespace' ? namespaces.map((one) => namespaceObject(one)) : [];
  const told = (request.headers.accept ?? '').includes('as=PartialObjectMetadata')
    ? {kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1'}
    : {kind, apiVersion: version};
  const objects = items.map((item) => ({...item, ...told}));
  if (url.searchParams.get('watch') === null)
    return say(response, {
      kind: `${told.kind}List`,
      apiVersion: told.apiVersion,
      metadata: {resourceVersion: '1'},
      items: objects,
    });
  watch(response, told, url.searchParams.get('sendInitialEvents') === 'true' ? objects : null);
}

/** A watch stays open; its first events are what there is, and a bookmark that says so (client-go's WatchList waits for it). */
function watch(response: ServerResponse, told: {kind: string; apiVersion: string}, initial: object[] | null): void {
  response.writeHead(200, {'content-type': 'application/json'});
  const line = (type: string, object: object): void => void response.write(`${JSON.stringify({type, object})}\n`);
  if (initial === null) return response.flushHeaders();
  for (const object of initial) line('ADDED', object);
  const annotations = {'k8s.io/initial-events-end': 'true'};
  line('BOOKMARK', {...told, metadata: {resourceVersion: '1', annotations}});
}

function echo(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const sent = asObject(Buffer.concat(chunks).toString());
    const metadata = {...(sent['metadata'] as object | undefined), uid: '1', resourceVersion: '1'};
    say(response, {...sent, metadata});
  });
}

/** istiod writes some of its own objects as protobuf; what it sent does not matter to it. */
function asObject(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

const namespaceObject = (name: string) => ({
  metadata: {name, uid: name, resourceVersion: '1', labels: {'kubernetes.io/metadata.name': name}},
});

function groups(): object {
  const list = Object.keys(RESOURCES).filter((version) => version.includes('/'));
  return {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: list.map((groupVersion) => {
      const [name, version] = groupVersion.split('/');
      const entry = {groupVersion, version};
      return {name, versions: [entry], preferredVersion: entry};
    }),
  };
}

function resourceList(groupVersion: string, known: Readonly<Record<string, string>>): object {
  const verbs = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'];
  const CLUSTER = ['Namespace', 'Node', 'CustomResourceDefinition', 'IngressClass'];
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion,
    resources: Object.entries(known).map(([name, kind]) => ({
      name,
      singularName: '',
      kind,
      namespaced: !CLUSTER.includes(kind) && !kind.endsWith('WebhookConfiguration'),
      verbs,
    })),
  };
}

function say(response: ServerResponse, body: object | string, status = 200): void {
  response.writeHead(status, {'content-type': 'application/json'});
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

const notFound = (response: ServerResponse): void =>
  say(response, {kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', code: 404}, 404);
