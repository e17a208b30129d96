/** Enforcement at a waypoint: the names that are bound to it are asked about there, by Istio's own AuthorizationPolicy. */
import {createHash} from 'node:crypto';
import type {Enforcement, MeshEgressDocument} from '../../policy/index.ts';
import {onlyWayOut} from '../gateway/only-way-out.ts';
import {istioObject, type Generated} from '../objects.ts';
import {PRIORITY} from '../priorities.ts';
import {DIAL_AFTER_DECISION} from '../sidecar.ts';

type AtWaypoint = Extract<Enforcement, {at: 'Waypoint'}>;

/** The provider's name in the mesh configuration. */
export const PROVIDER = 'sallyport';
const WAYPOINT = 'sallyport-egress';
const HBONE_PORT = 15008;
const SECURITY = 'security.istio.io/v1';
/** Istio puts it on a waypoint's pods. */
export const IS_GATEWAY = 'gateway.networking.k8s.io/gateway-name';

/** In the order in which they are to be written: questions before the names that are asked about. */
export function waypointObjects(mesh: MeshEgressDocument, {namespace, hosts}: AtWaypoint): readonly Generated[] {
  const scope = {namespace, labels: {}, suffix: ''};
  const toWaypoint = {targetRefs: [{group: 'gateway.networking.k8s.io', kind: 'Gateway', name: WAYPOINT}]};
  return [
    {
      why: 'Nothing is dialled before the decision: by itself Envoy dials for TLS at once, so that a refused site hears of it.',
      object: istioObject(mesh, 'networking.istio.io/v1alpha3', 'EnvoyFilter', WAYPOINT, namespace, {
        ...toWaypoint,
        priority: PRIORITY.sidecar,
        configPatches: [
          {
            applyTo: 'NETWORK_FILTER',
            match: {context: 'ANY', listener: {filterChain: {filter: {name: DIAL_AFTER_DECISION.name}}}},
            patch: {operation: 'MERGE', value: DIAL_AFTER_DECISION},
          },
        ],
      }),
    },
    {
      why: `The waypoint asks about everything that comes through it, before it dials. It cannot say what it dials and where: extauthz has to run with --dials name.`,
      object: istioObject(mesh, SECURITY, 'AuthorizationPolicy', WAYPOINT, namespace, {
        ...toWaypoint,
        action: 'CUSTOM',
        provider: {name: PROVIDER},
        rules: [{}],
      }),
    },
    {
      why: 'The waypoint of the namespace, made by istiod.',
      object: {
        ...istioObject(mesh, 'gateway.networking.k8s.io/v1', 'Gateway', WAYPOINT, namespace, {
          gatewayClassName: 'istio-waypoint',
          listeners: [{name: 'mesh', port: HBONE_PORT, protocol: 'HBONE', allowedRoutes: {namespaces: {from: 'Same'}}}],
        }),
      },
      labels: {'istio.io/waypoint-for': 'service'},
    },
    ...hosts.flatMap((host) => bound(mesh, namespace, host)),
    onlyWayOut(mesh, scope, 'the waypoint', {matchExpressions: [{key: IS_GATEWAY, operator: 'DoesNotExist'}]}),
  ].map(labelled);
}

/** One name has one address of its own, so that what is dialled there is that name. */
function bound(mesh: MeshEgressDocument, namespace: string, host: string): readonly (Generated & Labelled)[] {
  const name = `sallyport-egress-${shortName(host)}`;
  return [
    {
      why: `${host} is dialled for whoever comes to its address in the mesh. Without this a client that names an allowed host there would be judged by that name, and sent to ${host}.`,
      object: istioObject(mesh, SECURITY, 'AuthorizationPolicy', name, namespace, {
        targetRefs: [{group: 'networking.istio.io', kind: 'ServiceEntry', name}],
        action: 'DENY',
        rules: [
          {to: [{operation: {ports: ['80'], notHosts: [host, `${host}:80`]}}]},
          {to: [{operation: {ports: ['443']}}], when: [{key: 'connection.sni', notValues: [host]}]},
        ],
      }),
    },
    {
      why: `${host} is known to the mesh, and reached through the waypoint.`,
      object: istioObject(mesh, 'networking.istio.io/v1', 'ServiceEntry', name, namespace, {
        hosts: [host],
        location: 'MESH_EXTERNAL',
        resolution: 'DNS',
        ports: [
          {number: 80, name: 'http', protocol: 'HTTP'},
          {number: 443, name: 'tls', protocol: 'TLS'},
        ],
        exportTo: ['.'],
      }),
      labels: {'istio.io/use-waypoint': WAYPOINT},
    },
  ];
}

interface Labelled {
  readonly labels?: Readonly<Record<string, string>>;
}

function labelled({labels = {}, why, object}: Generated & Labelled): Generated {
  const {metadata} = object;
  return {why, object: {...object, metadata: {...metadata, labels: {...metadata.labels, ...labels}}}};
}

/** Enough of a host for an object's name, which is a label of 63 characters for the services that istiod makes of it. */
const MAX_NAME = 30;

function shortName(host: string): string {
  const plain = host.replaceAll(/[^a-z0-9]+/g, '-');
  if (plain.length <= MAX_NAME && plain === host.replaceAll('.', '-')) return plain;
  const hash = createHash('sha256').update(host).digest('hex').slice(0, 8);
  return `${plain.slice(0, MAX_NAME).replace(/-+$/, '')}-${hash}`;
}
