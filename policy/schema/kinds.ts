/** The kinds of `sallyport.dev/v1alpha1`. */
import * as limits from './limits.ts';
import {MESH_EGRESS_SPEC} from './mesh-egress.ts';
import {RULE} from './rule.ts';
import {CLUSTER_METADATA, NAME, NAMESPACED_METADATA, SELECTOR} from './selectors.ts';
import {text, type ObjectShape, type ValueOf} from './shape.ts';

export const API_VERSION = 'sallyport.dev/v1alpha1';

const ACCOUNTS = {kind: 'list', of: text, maxItems: limits.MAX_LIST_ITEMS} as const;
const HOSTS = {kind: 'list', of: text, maxItems: limits.MAX_LIST_ITEMS} as const;

const POLICY_FIELDS = {
  podSelector: {shape: SELECTOR, required: true, doc: 'The pods it is about; {} selects every pod.'},
  mode: {
    shape: {kind: 'text', oneOf: ['Enforce', 'Audit']},
    doc: 'Audit refuses nothing by its rules and reports what would be refused.',
    default: 'Enforce',
  },
  rules: {
    shape: {kind: 'list', of: RULE, maxItems: limits.MAX_RULES},
    doc: 'What is allowed and denied; an empty list allows nothing.',
    default: [],
  },
  deny: {
    shape: {
      kind: 'object',
      fields: {
        status: {
          shape: {kind: 'integer', from: 300, to: 599},
          doc: 'The status of a refusal; 304, which has no body, is refused.',
          default: 403,
        },
        contentType: {shape: text, doc: "The body's media type.", default: 'text/plain; charset=utf-8'},
        body: {
          shape: {kind: 'text', maxCharacters: limits.MAX_DENY_BODY_CHARACTERS},
          doc: 'The body of a refusal.',
          default: 'a text with policy, rule, reason, denial id and what to ask for',
        },
        headers: {
          shape: {
            kind: 'map',
            of: {kind: 'text', maxCharacters: limits.MAX_HEADER_VALUE_CHARACTERS},
            maxEntries: limits.MAX_MAP_ENTRIES,
          },
          doc: 'Further headers of a refusal.',
          default: {},
        },
      },
    },
    doc: 'What a refused client is answered.',
    default: '403 and plain text',
  },
} as const satisfies ObjectShape['fields'];

const EGRESS_POLICY_SPEC = {
  kind: 'object',
  fields: {
    ...POLICY_FIELDS,
    serviceAccounts: {
      shape: ACCOUNTS,
      doc: 'Names of service accounts, as a further condition: a pod can change its labels, not its account.',
      default: [],
    },
  },
} as const satisfies ObjectShape;

const CLUSTER_EGRESS_POLICY_SPEC = {
  kind: 'object',
  fields: {
    ...POLICY_FIELDS,
    namespaceSelector: {shape: SELECTOR, doc: 'The namespaces it is about; {} selects every namespace.', default: {}},
    serviceAccounts: {
      shape: ACCOUNTS,
      doc: 'Service accounts as namespace/name, as a further condition: a pod can change its labels, not its account.',
      default: [],
    },
  },
} as const satisfies ObjectShape;

const REFERENCE = {
  name: {shape: NAME, required: true, doc: 'Its name.'},
  namespace: {shape: NAME, required: true, doc: 'Its namespace.'},
} as const;
const KEYED_REFERENCE = {
  kind: 'object',
  fields: {
    ...REFERENCE,
    key: {shape: {kind: 'text', minCharacters: 1, maxCharacters: 253}, doc: 'The key within it.', default: 'ca.crt'},
  },
} as const satisfies ObjectShape;

const UPSTREAM_PROXY_SPEC = {
  kind: 'object',
  fields: {
    endpoints: {
      shape: {
        kind: 'list',
        minItems: 1,
        maxItems: limits.MAX_ENDPOINTS,
        of: {
          kind: 'object',
          fields: {
            url: {
              shape: text,
              required: true,
              doc: 'http://HOST:PORT, or https://HOST:PORT for TLS to the proxy itself.',
            },
          },
        },
      },
      required: true,
      doc: 'The proxy; several are tried in this order.',
    },
    auth: {
      shape: {
        kind: 'object',
        fields: {
          secretRef: {
            shape: {kind: 'object', fields: REFERENCE},
            required: true,
            doc: 'A Secret with the keys username and password, for basic authentication.',
          },
        },
      },
      doc: 'How we authenticate to the proxy.',
      default: 'not at all',
    },
    caBundle: {
      shape: {
        kind: 'object',
        fields: {
          configMapRef: {shape: KEYED_REFERENCE, doc: 'A ConfigMap with PEM certificates.'},
          secretRef: {shape: KEYED_REFERENCE, doc: 'A Secret with PEM certificates.'},
        },
      },
      doc: "The roots that the certificate of an https endpoint is verified against, beside the installation's.",
      default: "the installation's",
    },
    hosts: {
      shape: HOSTS,
      doc: 'Destinations that go through it without a rule saying so: exact, "*.suffix" or "*".',
      default: [],
    },
    except: {shape: HOSTS, doc: 'Destinations that its hosts do not hold.', default: []},
    resolve: {
      shape: {kind: 'text', oneOf: ['Both', 'Local', 'Proxy']},
      doc: 'Both: looked up and judged here, the name is sent. Local: the checked address is sent. Proxy: never looked up here.',
      default: 'Both',
    },
  },
} as const satisfies ObjectShape;

const document = <M extends ObjectShape, S extends ObjectShape, K extends string>(kind: K, metadata: M, spec: S) =>
  ({
    kind: 'object',
    fields: {
      apiVersion: {shape: {kind: 'text', oneOf: [API_VERSION]}, required: true, doc: 'The version of this language.'},
      kind: {shape: {kind: 'text', oneOf: [kind]}, required: true, doc: 'The kind.'},
      metadata: {shape: metadata, required: true, doc: 'The name.'},
      spec: {shape: spec, required: true, doc: 'What it says.'},
      status: {shape: {kind: 'any'}, doc: 'Written by the controller; not looked at.'},
    },
  }) as const;

/** Each kind's shape, with its one-line description: what decisions are made of. */
export const KINDS = {
  EgressPolicy: {
    doc: 'What the pods of one namespace may reach.',
    shape: document('EgressPolicy', NAMESPACED_METADATA, EGRESS_POLICY_SPEC),
  },
  ClusterEgressPolicy: {
    doc: 'What pods of any namespace may reach; looked at before the EgressPolicies.',
    shape: document('ClusterEgressPolicy', CLUSTER_METADATA, CLUSTER_EGRESS_POLICY_SPEC),
  },
  UpstreamProxy: {
    doc: 'A parent proxy: a squid, a tinyproxy, any CONNECT proxy.',
    shape: document('UpstreamProxy', CLUSTER_METADATA, UPSTREAM_PROXY_SPEC),
  },
} as const;

/** Kinds that say how something is to be set up. They are written and checked beside the others; no decision looks at them. */
export const SETUP_KINDS = {
  MeshEgress: {
    doc: 'What an Istio mesh is to be told, so that its proxies ask and its pods reach their corporate proxy.',
    shape: document('MeshEgress', CLUSTER_METADATA, MESH_EGRESS_SPEC),
  },
} as const;

export const ALL_KINDS = {...KINDS, ...SETUP_KINDS} as const;

export type Kind = keyof typeof KINDS;
export type AnyKind = keyof typeof ALL_KINDS;
export type RawEgressPolicy = ValueOf<(typeof KINDS)['EgressPolicy']['shape']>;
export type RawClusterEgressPolicy = ValueOf<(typeof KINDS)['ClusterEgressPolicy']['shape']>;
export type RawUpstreamProxy = ValueOf<(typeof KINDS)['UpstreamProxy']['shape']>;
export type RawMeshEgress = ValueOf<(typeof SETUP_KINDS)['MeshEgress']['shape']>;
export type RawRule = ValueOf<typeof RULE>;
