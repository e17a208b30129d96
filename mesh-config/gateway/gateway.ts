/** Enforcement at an egress gateway: sidecars hand it what leaves the mesh, and it asks before it dials. */
import type {MeshEgressDocument} from '../../policy/index.ts';
import {exitListener} from '../chain/connections.ts';
import type {Chain} from '../chain/parents.ts';
import {tunnelListener} from '../chain/requests.ts';
import {extauthzHost} from '../check.ts';
import {istioObject, type Generated, type Scope} from '../objects.ts';
import {PRIORITY} from '../priorities.ts';
import {gatewayClusters} from './clusters.ts';
import {INSIDE, innerListener, outerListener} from './listeners.ts';
import {onlyWayOut} from './only-way-out.ts';
import {gatewayService, gatewayTls, toGateway} from './way.ts';

/**
 * `scopes`: those whose pods leave through the gateway. In the order in which they are to be written: the gateway asks before
 * anybody knows it, and nobody is locked in before there is a way.
 */
export function gatewayObjects(
  mesh: MeshEgressDocument,
  scopes: readonly Scope[],
  chain: Chain | null,
): readonly Generated[] {
  if (scopes.length === 0) return [];
  const namespaces = [...new Set(scopes.map(({namespace}) => namespace))];
  return [
    gatewayFilter(mesh, chain),
    gatewayTls(mesh, namespaces),
    gatewayService(mesh, namespaces),
    ...scopes.flatMap((scope) => [toGateway(mesh, scope), onlyWayOut(mesh, scope, 'the gateway')]),
  ];
}

function gatewayFilter(mesh: MeshEgressDocument, chain: Chain | null): Generated {
  const {namespace, labels, inspect} = mesh.egressGateway;
  const add = (applyTo: 'CLUSTER' | 'LISTENER', value: object): object => ({
    applyTo,
    match: {context: 'GATEWAY'},
    patch: {operation: 'ADD', value},
  });
  const decrypts =
    inspect === null
      ? ''
      : ` TLS to ${inspect.hosts.join(', ')} is decrypted, with a certificate for each name that extauthz mints; the server's own certificate is verified here.`;
  const chains =
    chain === null
      ? ''
      : ` What the answer says leaves through UpstreamProxy ${chain.parents.map(({document}) => document.name).join(', ')} is sent there, by CONNECT, or plain HTTP with its whole URL; a parent that is away is no reason to go direct.`;
  return {
    why: `The gateway takes what sidecars hand to it by mutual TLS, asks about it with the pod's identity, and dials the address that the answer names: HTTP by its Host, TLS by its SNI, anything else by its address, as tproxy does.${decrypts}${chains} AuthorizationPolicy CUSTOM would show extauthz neither the port that the client dialled, nor header lines as they came, and for TLS inside of the mesh's own TLS no name.`,
    object: istioObject(mesh, 'networking.istio.io/v1alpha3', 'EnvoyFilter', 'sallyport-gateway', namespace, {
      workloadSelector: {labels},
      priority: PRIORITY.sidecar,
      configPatches: [
        ...gatewayClusters(INSIDE, inspect?.trust ?? null, chain).map((value) => add('CLUSTER', value)),
        ...(chain === null ? [] : [tunnelListener(), exitListener(chain)]).map((value) => add('LISTENER', value)),
        add('LISTENER', innerListener(mesh, chain)),
        add('LISTENER', outerListener(mesh, chain)),
      ],
    }),
  };
}

/** How Envoys reach extauthz where it has a certificate of the mesh: by mutual TLS, so that it knows who asks. */
export function extauthzTls(mesh: MeshEgressDocument): readonly Generated[] {
  const {identity, namespace} = mesh.extauthz;
  if (identity === null) return [];
  return [
    {
      why: `Extauthz is asked by mutual TLS: who answers has to show its certificate, and it sees which proxy asks. Certificates for inspection are private keys, one stream a name: Envoy's own limit of 1024 would keep every further name away.`,
      object: istioObject(mesh, 'networking.istio.io/v1', 'DestinationRule', 'sallyport-extauthz', namespace, {
        host: extauthzHost(mesh),
        trafficPolicy: {
          tls: {mode: 'ISTIO_MUTUAL', subjectAltNames: [identity]},
          connectionPool: {http: {http2MaxRequests: MAX_STREAMS, http1MaxPendingRequests: MAX_STREAMS}},
        },
      }),
    },
  ];
}

/** Names under inspection at once, of one Envoy; extauthz hands out fewer. */
const MAX_STREAMS = 100_000;
