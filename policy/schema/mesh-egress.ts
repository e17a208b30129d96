/** MeshEgress: what an Istio mesh is to be told. No policy: deciding never looks at it, `sallyport mesh-config` does. */
import * as limits from './limits.ts';
import {NAME} from './selectors.ts';
import {text, type ObjectShape} from './shape.ts';

const NAMESPACE = {kind: 'text', minCharacters: 1, maxCharacters: 63} as const;
const PORT = {kind: 'integer', from: 1, to: 65535} as const;
const ACCOUNT = {kind: 'text', minCharacters: 1, maxCharacters: 253} as const;
const HOSTS = {kind: 'list', of: text, minItems: 1, maxItems: limits.MAX_MAP_ENTRIES} as const;
const MATCH_LABELS = {
  kind: 'object',
  fields: {
    matchLabels: {
      shape: {kind: 'map', of: text, maxEntries: limits.MAX_MAP_ENTRIES},
      required: true,
      doc: 'Labels that must all be there with these values.',
    },
  },
} as const;

/** Milliseconds that one Check may take: Envoy's own default is 200, a minute is a mistake. */
const CHECK_TIMEOUT_MS = {from: 10, to: 60_000} as const;

export const MESH_EGRESS_SPEC = {
  kind: 'object',
  fields: {
    istio: {
      shape: {
        kind: 'object',
        fields: {
          version: {
            shape: {kind: 'text', oneOf: ['1.29', '1.30', '1.31']},
            doc: 'The oldest Istio among istiod and the proxies.',
            default: '1.31',
          },
          revision: {shape: NAME, doc: 'The revision of the control plane.', default: 'default'},
          rootNamespace: {
            shape: NAMESPACE,
            doc: 'Where objects that hold for the whole mesh live.',
            default: 'istio-system',
          },
          trustDomain: {shape: NAME, doc: 'The trust domain of its identities.', default: 'cluster.local'},
        },
      },
      doc: 'The control plane.',
      default: 'istio-system, newest version',
    },
    outboundTrafficPolicy: {
      shape: {kind: 'text', oneOf: ['RegistryOnly', 'AllowAny']},
      doc: 'What sidecars do with destinations that the mesh does not know: refuse them, or ask and then dial them.',
      default: 'RegistryOnly',
    },
    extauthz: {
      shape: {
        kind: 'object',
        fields: {
          name: {
            shape: {kind: 'text', minCharacters: 1, maxCharacters: 63},
            doc: 'The Service.',
            default: 'sallyport-extauthz',
          },
          namespace: {shape: NAMESPACE, doc: 'Its namespace.', default: 'sallyport'},
          port: {shape: PORT, doc: 'Its port.', default: 9000},
          timeoutMs: {
            shape: {kind: 'integer', ...CHECK_TIMEOUT_MS},
            doc: 'Milliseconds that one question may take; then the request is refused.',
            default: 500,
          },
          identity: {
            shape: {kind: 'text', minCharacters: 1, maxCharacters: 2048},
            doc: 'Its SPIFFE ID or DNS name in a certificate of the mesh. Then it is asked by mutual TLS. Required for EgressGateway.',
          },
        },
      },
      doc: 'Where sallyport extauthz answers.',
      default: 'sallyport-extauthz.sallyport, port 9000',
    },
    enforcement: {
      shape: {
        kind: 'list',
        maxItems: limits.MAX_MAP_ENTRIES,
        of: {
          kind: 'object',
          fields: {
            at: {
              shape: {kind: 'text', oneOf: ['Sidecar', 'EgressGateway', 'Waypoint']},
              required: true,
              doc: 'Sidecar: the proxy beside each pod asks before it dials. EgressGateway: sidecars hand what leaves the mesh to the gateway, which asks. Waypoint: the waypoint of the namespace asks, for the hosts named here.',
            },
            namespace: {
              shape: NAMESPACE,
              doc: 'The namespace whose pods are meant. Required for EgressGateway and Waypoint.',
              default: 'all, by the root namespace',
            },
            selector: {
              shape: MATCH_LABELS,
              doc: 'Pods of the namespace. Istio selects proxies by equal labels alone. Not for Waypoint.',
              default: 'all of them',
            },
            hosts: {shape: HOSTS, doc: 'For Waypoint: the names outside of the mesh that are reached through it.'},
          },
        },
      },
      doc: 'Where the mesh asks.',
      default: [],
    },
    egressGateway: {
      shape: {
        kind: 'object',
        fields: {
          namespace: {shape: NAMESPACE, doc: 'Its namespace.', default: 'istio-egress'},
          serviceAccount: {shape: ACCOUNT, doc: 'Its service account.', default: 'istio-egressgateway'},
          selector: {shape: MATCH_LABELS, doc: 'Its pods.', default: 'istio: egressgateway'},
          port: {shape: PORT, doc: 'The port on which it takes what sidecars hand to it.', default: 15443},
          inspect: {
            shape: {
              kind: 'object',
              fields: {
                hosts: {
                  shape: HOSTS,
                  required: true,
                  doc: 'Names whose TLS is decrypted there: api.example, *.example, or *.',
                },
                except: {shape: HOSTS, doc: 'Names among them that are carried unread.', default: []},
                port: {
                  shape: PORT,
                  doc: 'The port of extauthz on which it serves certificates (--sds).',
                  default: 9001,
                },
                trust: {
                  shape: {kind: 'text', minCharacters: 1, maxCharacters: 4096},
                  doc: 'The file in the gateway with the roots by which servers are verified.',
                  default: '/etc/ssl/certs/ca-certificates.crt',
                },
              },
            },
            doc: 'TLS that is decrypted at the gateway, with certificates of extauthz.',
            default: 'none',
          },
        },
      },
      doc: 'The gateway of enforcement at EgressGateway.',
      default: 'istio-egressgateway.istio-egress',
    },
    proxies: {
      shape: {
        kind: 'list',
        maxItems: limits.MAX_ENDPOINTS,
        of: {
          kind: 'object',
          fields: {
            name: {shape: NAME, required: true, doc: 'The UpstreamProxy.'},
            addresses: {
              shape: {kind: 'list', of: text, minItems: 1, maxItems: limits.MAX_MAP_ENTRIES},
              doc: "Every address of its endpoints' names. Required where an endpoint is a name.",
            },
            namespaces: {
              shape: {kind: 'list', of: NAMESPACE, minItems: 1, maxItems: limits.MAX_MAP_ENTRIES},
              doc: 'The namespaces whose pods may reach it.',
              default: 'all',
            },
            trust: {
              shape: {kind: 'text', minCharacters: 1, maxCharacters: 4096},
              doc: 'The file in the sidecar with the roots by which an https endpoint is verified. Pods speak plain HTTP to it; the sidecar speaks TLS.',
              default: '/etc/ssl/certs/ca-certificates.crt',
            },
          },
        },
      },
      doc: 'Corporate proxies that pods reach by themselves (https_proxy).',
      default: [],
    },
    chain: {
      shape: {
        kind: 'list',
        maxItems: limits.MAX_ENDPOINTS,
        of: {
          kind: 'object',
          fields: {
            name: {shape: NAME, required: true, doc: 'The UpstreamProxy.'},
            addresses: {
              shape: {kind: 'list', of: text, minItems: 1, maxItems: limits.MAX_MAP_ENTRIES},
              doc: "Every address of its endpoints' names. Then Envoy looks none of them up.",
            },
            trust: {
              shape: {kind: 'text', minCharacters: 1, maxCharacters: 4096},
              doc: 'The file in the proxy container with the roots by which an https endpoint is verified.',
              default: '/etc/ssl/certs/ca-certificates.crt',
            },
          },
        },
      },
      doc: 'UpstreamProxies that the mesh itself sends through, where a policy says so: pods need no proxy settings.',
      default: [],
    },
  },
} as const satisfies ObjectShape;
