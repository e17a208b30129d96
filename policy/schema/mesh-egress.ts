/** MeshEgress: what an Istio mesh is to be told. No policy: deciding never looks at it, `sallyport mesh-config` does. */
import * as limits from './limits.ts';
import {NAME} from './selectors.ts';
import {text, type ObjectShape} from './shape.ts';

const NAMESPACE = {kind: 'text', minCharacters: 1, maxCharacters: 63} as const;
const PORT = {kind: 'integer', from: 1, to: 65535} as const;

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
          name: {shape: {kind: 'text', minCharacters: 1, maxCharacters: 63}, doc: 'The Service.', default: 'extauthz'},
          namespace: {shape: NAMESPACE, doc: 'Its namespace.', default: 'sallyport'},
          port: {shape: PORT, doc: 'Its port.', default: 9000},
          timeoutMs: {
            shape: {kind: 'integer', ...CHECK_TIMEOUT_MS},
            doc: 'Milliseconds that one question may take; then the request is refused.',
            default: 500,
          },
        },
      },
      doc: 'Where sallyport extauthz answers.',
      default: 'extauthz.sallyport, port 9000',
    },
    enforcement: {
      shape: {
        kind: 'list',
        maxItems: limits.MAX_MAP_ENTRIES,
        of: {
          kind: 'object',
          fields: {
            at: {
              shape: {kind: 'text', oneOf: ['Sidecar']},
              required: true,
              doc: 'Sidecar: the proxy beside each pod asks before it dials.',
            },
            namespace: {
              shape: NAMESPACE,
              doc: 'The namespace whose pods are meant.',
              default: 'all, by the root namespace',
            },
            selector: {
              shape: {
                kind: 'object',
                fields: {
                  matchLabels: {
                    shape: {kind: 'map', of: text, maxEntries: limits.MAX_MAP_ENTRIES},
                    required: true,
                    doc: 'Labels that must all be there with these values.',
                  },
                },
              },
              doc: 'Pods of the namespace. Istio selects proxies by equal labels alone.',
              default: 'all of them',
            },
          },
        },
      },
      doc: 'Where the mesh asks.',
      default: [],
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
          },
        },
      },
      doc: 'Corporate proxies that pods reach by themselves (https_proxy).',
      default: [],
    },
  },
} as const satisfies ObjectShape;
