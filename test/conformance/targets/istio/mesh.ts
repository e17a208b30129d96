/** What istiod is given for a case: what `sallyport mesh-config generate` makes, and the registry that an operator of such a world has. */
import {stringify} from 'yaml';
import {credentialsVariable} from '../../../../mesh-config/chain/parents.ts';
import {loadDocuments} from '../../../../policy/index.ts';
import {carriedUnread} from './inside.ts';
import {EXTAUTHZ_ID} from './identities.ts';
import {fromIntent} from '../../../mesh/generated.ts';
import type {Case, DocumentValue, ServerKind} from '../../format/case.ts';
import {documentsText} from '../../documents.ts';

export const EXTAUTHZ = {name: 'sallyport-extauthz', namespace: 'sallyport', port: 9000} as const;
export const SDS_PORT = 9001;
export const GATEWAY = {
  name: 'gateway',
  namespace: 'istio-egress',
  labels: {istio: 'egressgateway'},
  serviceAccount: 'istio-egressgateway',
} as const;
export const ROOT_NAMESPACE = 'istio-system';

export interface MeshFiles {
  /** YAML texts of Istio's objects. */
  readonly objects: readonly string[];
  /** The `mesh` of Istio's ConfigMap, as YAML. */
  readonly mesh: string;
  /** Variables of the proxies' containers: the credentials of parents, which no object holds. */
  readonly environment: Readonly<Record<string, string>>;
}

/** What istiod would know from Kubernetes. */
export interface Places {
  readonly extauthz: string;
  /** null: sidecars alone. */
  readonly gateway: string | null;
  /** A file of roots by which servers, and parents that speak TLS, are verified. */
  readonly roots: string;
}

export function meshFiles(world: Case, documents: readonly DocumentValue[], places: Places): MeshFiles {
  const proxies = documents.filter(({kind}) => kind === 'UpstreamProxy');
  const {yaml, settings} = fromIntent(documentsText([intent(world, proxies, places), ...proxies]));
  return {
    objects: [
      stringify(PLAIN),
      stringify(extauthzService(places.extauthz)),
      ...(places.gateway === null ? [] : [stringify(gatewayPod(places.gateway))]),
      yaml,
      ...registry(world).map((one) => stringify(one)),
    ],
    mesh: stringify({...LAB, ...settings}),
    environment: parentCredentials(world, proxies),
  };
}

/** One MeshEgress: what the mesh does not know is asked about like the rest, at the gateway, or at every sidecar. */
function intent(world: Case, proxies: readonly DocumentValue[], {gateway, roots}: Places): DocumentValue {
  const namespaces = [...new Set(world.workloads.map(({namespace}) => namespace))];
  const except = carriedUnread(world);
  return {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'MeshEgress',
    metadata: {name: 'conformance'},
    spec: {
      outboundTrafficPolicy: 'AllowAny',
      extauthz: {...EXTAUTHZ, timeoutMs: ASK_TIMEOUT_MS, ...(gateway === null ? {} : {identity: EXTAUTHZ_ID})},
      enforcement:
        gateway === null ? [{at: 'Sidecar'}] : namespaces.map((namespace) => ({at: 'EgressGateway', namespace})),
      chain: proxies.map(({metadata}) => ({name: (metadata as {name: string}).name, trust: roots})),
      ...(gateway === null
        ? {}
        : {egressGateway: {inspect: {hosts: ['*'], trust: roots, ...(except.length === 0 ? {} : {except})}}}),
    },
  };
}

/** Longer than any lookup, on a machine that does much else. */
const ASK_TIMEOUT_MS = 5000;

/** What the lab's mesh needs beside: no mutual TLS, which wants a CA. */
const LAB = {
  enableAutoMtls: false,
  rootNamespace: ROOT_NAMESPACE,
  defaultConfig: {discoveryAddress: '127.0.0.1:15010'},
} as const;

const PLAIN = {
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: {name: 'default', namespace: ROOT_NAMESPACE},
  spec: {mtls: {mode: 'DISABLE'}},
} as const;

const extauthzService = (address: string) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: {name: EXTAUTHZ.name, namespace: EXTAUTHZ.namespace},
  spec: {
    hosts: [`${EXTAUTHZ.name}.${EXTAUTHZ.namespace}.svc.cluster.local`],
    addresses: ['10.96.0.9'],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [
      {number: EXTAUTHZ.port, name: 'grpc', protocol: 'GRPC'},
      {number: SDS_PORT, name: 'grpc-sds', protocol: 'GRPC'},
    ],
    endpoints: [{address}],
  },
});

const gatewayPod = (address: string) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadEntry',
  metadata: {name: GATEWAY.name, namespace: GATEWAY.namespace},
  spec: {address, labels: GATEWAY.labels, serviceAccount: GATEWAY.serviceAccount},
});

/** On a port of which the mesh knows no service Istio reads no HTTP: so the ports of the world's web servers are services. */
function registry(world: Case): object[] {
  const ports = new Set(world.servers.flatMap(({ports: all}) => all.filter(isWeb).map(({port}) => port)));
  if (ports.size === 0) return [];
  return [
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: {name: 'web', namespace: ROOT_NAMESPACE},
      spec: {
        hosts: ['web.conformance.internal'],
        location: 'MESH_EXTERNAL',
        resolution: 'NONE',
        ports: [...ports].map((number) => ({number, name: `http-${number}`, protocol: 'HTTP'})),
      },
    },
  ];
}

const isWeb = ({kind}: {readonly kind: ServerKind}): boolean => kind === 'http';

/** As an operator would have them in a Secret of the proxies' container. */
function parentCredentials(world: Case, proxies: readonly DocumentValue[]): Record<string, string> {
  const {documents} = loadDocuments([{file: world.file, text: documentsText(proxies)}]);
  return Object.fromEntries(
    documents.flatMap((document) => {
      if (document.kind !== 'UpstreamProxy' || document.auth === null) return [];
      const secret = world.secrets.get(`${document.auth.namespace}/${document.auth.name}`);
      if (secret === undefined) return [];
      const basic = Buffer.from(`${secret['username']}:${secret['password']}`).toString('base64');
      return [[credentialsVariable(document), `Basic ${basic}`]];
    }),
  );
}
