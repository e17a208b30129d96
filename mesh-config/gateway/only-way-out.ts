/** The NetworkPolicy without which the gateway is one way out among others: for a program that gets round its sidecar. */
import type {MeshEgressDocument} from '../../policy/index.ts';
import {istioObject, type Generated, type Scope} from '../objects.ts';

/** A resolver's port. */
const DNS_PORT = 53;
const NAME_LABEL = 'kubernetes.io/metadata.name';

const podsOf = ({labels}: Scope): object => (Object.keys(labels).length === 0 ? {} : {matchLabels: labels});

/** `what` is the way out: the gateway, or a waypoint. */
export function onlyWayOut(
  mesh: MeshEgressDocument,
  scope: Scope,
  what: string,
  podSelector = podsOf(scope),
): Generated {
  const dns = ['UDP', 'TCP'].map((protocol) => ({protocol, port: DNS_PORT}));
  return {
    why: `Packets of these pods go to pods of the cluster and to its resolver only, so ${what} is the only way out: for UDP, for programs that run as the proxy's user, and before the sidecar is up too. It takes a network plugin that enforces NetworkPolicy.`,
    object: istioObject(
      mesh,
      'networking.k8s.io/v1',
      'NetworkPolicy',
      `sallyport-only-way-out${scope.suffix}`,
      scope.namespace,
      {
        podSelector,
        policyTypes: ['Egress'],
        egress: [
          {
            to: [
              {
                namespaceSelector: {matchLabels: {[NAME_LABEL]: 'kube-system'}},
                podSelector: {matchLabels: {'k8s-app': 'kube-dns'}},
              },
            ],
            ports: dns,
          },
          {to: [{namespaceSelector: asked(mesh, scope)}], ports: [{protocol: 'TCP', port: 1, endPort: 65535}]},
        ],
      },
    ),
  };
}

/** Not extauthz itself, where it has a namespace of its own: who can ask may ask about anybody, and here nobody needs to. */
function asked({istio, extauthz, egressGateway}: MeshEgressDocument, scope: Scope): object {
  const needed = [istio.rootNamespace, egressGateway.namespace, scope.namespace, 'istio-system'];
  if (needed.includes(extauthz.namespace)) return {};
  return {matchExpressions: [{key: NAME_LABEL, operator: 'NotIn', values: [extauthz.namespace]}]};
}
