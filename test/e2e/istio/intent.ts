/** What the suite asks for: one policy for pods with a sidecar and for pods without, and how the mesh is to ask about it. */
import {stringify} from 'yaml';
import {NAMESPACE} from '../installation.ts';
import {EXTAUTHZ_IDENTITY} from './certificates.ts';

/** Pods of both kinds have it; the policy and the mesh select by it. */
export const LABELS = {app: 'shop'} as const;
/** The pod with a sidecar, and the pod without. */
export const MESHED = 'shop-mesh';
export const PLAIN = 'shop';
/** The corporate proxies, outside of the cluster. */
export const PARENTS = {
  squid: {ip: '198.51.100.41', port: 3128},
  tinyproxy: {ip: '198.51.100.42', port: 8888},
} as const;
export type ParentName = keyof typeof PARENTS;
export const PARENT_NAMES = Object.keys(PARENTS) as ParentName[];

export const urlOf = (name: ParentName): string => `http://${PARENTS[name].ip}:${PARENTS[name].port}`;
const proxyName = (name: ParentName): string => `shop-${name}`;

/** Sites that are reached through a proxy, each through its own; the others are reached directly. */
export const SITES = {squid: 'api.partner.example', tinyproxy: 'mirror.partner.example'} as const;
export const DIRECT = 'storage.googleapis.com';
/** Known to the mesh, and in no rule. */
export const REFUSED = 'www.google.com';
export const PUBLIC = '/public/index.html';
export const PRIVATE = '/private/index.html';

const rulesFor = (site: string, name: string, via: string): object[] => [
  {name, to: {hosts: [site], schemes: ['tls']}, via},
  {name: `${name}-http`, to: {hosts: [site], schemes: ['http']}, http: {methods: ['GET'], paths: ['/public/**']}, via},
];

const POLICY = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'ClusterEgressPolicy',
  metadata: {name: 'shop'},
  spec: {
    podSelector: {matchLabels: LABELS},
    rules: [
      ...PARENT_NAMES.flatMap((name) => rulesFor(SITES[name], name, proxyName(name))),
      ...rulesFor(DIRECT, 'storage', 'Direct'),
    ],
    deny: {status: 418, body: 'Access Denied by Administrator'},
  },
};

const UPSTREAM_PROXIES = PARENT_NAMES.map((name) => ({
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'UpstreamProxy',
  metadata: {name: proxyName(name)},
  spec: {endpoints: [{url: urlOf(name)}]},
}));

/** What is applied in the cluster, for both kinds of pods. */
export const POLICIES: readonly object[] = [...UPSTREAM_PROXIES, POLICY];

const MESH_EGRESS = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'MeshEgress',
  metadata: {name: 'default'},
  spec: {
    outboundTrafficPolicy: 'RegistryOnly',
    extauthz: {name: 'sallyport-extauthz', namespace: NAMESPACE, identity: EXTAUTHZ_IDENTITY},
    enforcement: [{at: 'Sidecar', namespace: MESHED}],
    proxies: PARENT_NAMES.map((name) => ({name: proxyName(name), namespaces: [MESHED]})),
    chain: PARENT_NAMES.map((name) => ({name: proxyName(name)})),
  },
};

/** What `sallyport mesh-config` is given. */
export const INTENT = [MESH_EGRESS, ...UPSTREAM_PROXIES].map((document) => stringify(document)).join('---\n');

/** The sites that are reached directly, as whoever runs the mesh lists them. Those behind a proxy are not known to it. */
export function sites(addresses: ReadonlyMap<string, readonly string[]>): object[] {
  return [DIRECT, REFUSED].map((host) => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: {name: host, namespace: MESHED},
    spec: {
      hosts: [host],
      addresses: addresses.get(host)!.map((address) => `${address}/32`),
      ports: [
        {number: 80, name: 'http', protocol: 'HTTP'},
        {number: 443, name: 'tls', protocol: 'TLS'},
      ],
      location: 'MESH_EXTERNAL',
      resolution: 'NONE',
      exportTo: ['.'],
    },
  }));
}
