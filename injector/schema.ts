/** The injector's configuration file, written down as the policy language is: checked, documented and typed from one place. */
import type {ObjectShape, ValueOf} from '../policy/index.ts';
import {PORTS} from '../runtime/names.ts';
import {MTLS_MODES} from '../sources/mtls-words.ts';

const text = {kind: 'text'} as const;
const MAX_LIST = 1_000;
const texts = {kind: 'list', of: text, maxItems: MAX_LIST} as const;

/** Banzai Cloud's `httpProxyEnvs` form, so that a mesh operator's values can be moved here as they are. */
const PROXY_SETTINGS = {
  kind: 'object',
  fields: {
    httpProxy: {shape: text, doc: 'What HTTP_PROXY says: http://HOST:PORT.'},
    httpsProxy: {shape: text, doc: 'What HTTPS_PROXY says.', default: 'httpProxy'},
    noProxy: {shape: text, doc: 'Further NO_PROXY entries, separated by commas.', default: ''},
    upstreamProxy: {
      shape: text,
      doc: "An UpstreamProxy by name, or Node for our own port on the pod's node. In place of httpProxy.",
    },
  },
} as const satisfies ObjectShape;

const NAMESPACE_SETTINGS = {
  kind: 'object',
  fields: {httpProxyEnvs: {shape: PROXY_SETTINGS, doc: "The proxy of this namespace's pods."}},
} as const satisfies ObjectShape;

const CLUSTER = {
  kind: 'object',
  fields: {
    domain: {shape: text, doc: 'The cluster domain.', default: 'cluster.local'},
    serviceCidrs: {shape: texts, doc: "The Services' addresses.", default: []},
    podCidrs: {shape: texts, doc: "The pods' addresses.", default: []},
    nodeCidrs: {shape: texts, doc: "The nodes' addresses.", default: []},
    apiServers: {shape: texts, doc: 'Further names and addresses of the API server, beside its Service.', default: []},
    ipFamily: {
      shape: {kind: 'text', oneOf: ['IPv4', 'IPv6']},
      doc: "Of the nodes' first addresses: an IPv6 address stands in brackets in a URL.",
      default: 'that of the first of nodeCidrs, else of serviceCidrs',
    },
  },
} as const satisfies ObjectShape;

const TRUST = {
  kind: 'object',
  fields: {
    configMap: {
      shape: text,
      doc: 'The ConfigMap with ca.crt, bundle.crt and truststore.p12 that is kept in every namespace that opts in.',
      default: 'sallyport-trust',
    },
    mountPath: {shape: text, doc: 'Where containers see it.', default: '/etc/sallyport/trust'},
  },
} as const satisfies ObjectShape;

const quantities = {kind: 'map', of: text, maxEntries: 100} as const;

const GUARD = {
  kind: 'object',
  fields: {
    image: {shape: text, doc: 'The image of the guard that is put into captured pods.', default: 'sallyport:VERSION'},
    imagePullPolicy: {
      shape: {kind: 'text', oneOf: ['Always', 'IfNotPresent', 'Never']},
      doc: 'When it is pulled.',
      default: 'IfNotPresent',
    },
    timeoutSeconds: {
      shape: {kind: 'integer', from: 1, to: 3600},
      doc: 'How long a pod waits for its capture before it fails; the kubelet starts it again.',
      default: 60,
    },
    resources: {
      shape: {
        kind: 'object',
        fields: {
          requests: {shape: quantities, doc: 'What it is scheduled with.', default: {cpu: '10m', memory: '64Mi'}},
          limits: {shape: quantities, doc: 'What it may take.', default: {memory: '128Mi'}},
        },
      },
      doc: 'What the guard takes, while it runs and nothing else of the pod does.',
      default: {},
    },
  },
} as const satisfies ObjectShape;

const POD_CAPTURE = {
  kind: 'object',
  fields: {
    image: {
      shape: text,
      doc: 'The image of the container that sets the rules and of the proxy: one with nft, the node’s.',
      default: 'sallyport-node:VERSION',
    },
    policies: {
      shape: text,
      doc: "The ConfigMap of policies in the pod's namespace that the proxy is held to.",
      default: 'sallyport-policies',
    },
    resources: {
      shape: {
        kind: 'object',
        fields: {
          requests: {
            shape: quantities,
            doc: 'What the proxy is scheduled with.',
            default: {cpu: '50m', memory: '192Mi'},
          },
          limits: {shape: quantities, doc: 'What it may take.', default: {memory: '512Mi'}},
        },
      },
      doc: 'What the proxy beside the containers takes.',
      default: {},
    },
    mtls: {
      shape: {
        kind: 'object',
        fields: {
          mode: {
            shape: {kind: 'text', oneOf: MTLS_MODES},
            doc: 'Of pods that say nothing, as the agents have it (--mtls-mode).',
            default: 'Off',
          },
          cidrs: {shape: texts, doc: 'CIDR=MODE, as the agents have it (--mtls-cidr).', default: []},
          trustDomain: {shape: text, doc: 'Of SPIFFE ids.', default: 'cluster.domain'},
        },
      },
      doc: 'How such pods speak mTLS, where mtls is Enabled.',
      default: {},
    },
  },
} as const satisfies ObjectShape;

export const INJECTOR_CONFIG = {
  kind: 'object',
  fields: {
    namespace: {shape: text, doc: 'Our own namespace: its pods are never touched.', default: 'sallyport'},
    defaultMode: {
      shape: {kind: 'text', oneOf: ['tproxy', 'proxy-env', 'mesh']},
      doc: 'The mode of pods that only say inject: "true".',
      default: 'proxy-env',
    },
    httpProxyEnvs: {shape: PROXY_SETTINGS, doc: 'The proxy of pods that name no other.', default: 'Node'},
    explicitPort: {
      shape: {kind: 'integer', from: 1, to: 65_535},
      doc: 'Where the agents of nodes listen for programs that are told (their --explicit): the port of the proxy Node.',
      default: PORTS.explicit,
    },
    namespaces: {
      shape: {kind: 'map', of: NAMESPACE_SETTINGS, maxEntries: 10_000},
      doc: 'Settings by namespace.',
      default: {},
    },
    cluster: {shape: CLUSTER, doc: 'What of the cluster is reached without a proxy.', default: {}},
    trust: {shape: TRUST, doc: 'Where trust in the CA comes from.', default: {}},
    guard: {shape: GUARD, doc: 'The init container that proves the capture.', default: {}},
    podCapture: {shape: POD_CAPTURE, doc: 'Of pods with sallyport.dev/capture: pod.', default: {}},
    mtls: {
      shape: {kind: 'text', oneOf: ['Enabled', 'Disabled']},
      doc: "Whether the nodes' agents speak mTLS between pods (their --mtls).",
      default: 'Disabled',
    },
    skipContainers: {
      shape: texts,
      doc: 'Containers that are left alone in every pod.',
      default: ['istio-proxy', 'istio-init', 'istio-validation'],
    },
  },
} as const satisfies ObjectShape;

export type RawInjectorConfig = ValueOf<typeof INJECTOR_CONFIG>;
export type RawProxySettings = ValueOf<typeof PROXY_SETTINGS>;
