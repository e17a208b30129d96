/** The parts that are Kubernetes' own: metadata and label selectors. */
import {MAX_LIST_ITEMS, MAX_MAP_ENTRIES} from './limits.ts';
import {text, type ObjectShape} from './shape.ts';

const KUBERNETES = {shape: {kind: 'any'}, doc: 'Written by Kubernetes or its tools; not looked at.'} as const;

const ignored = {
  labels: KUBERNETES,
  annotations: KUBERNETES,
  creationTimestamp: KUBERNETES,
  deletionGracePeriodSeconds: KUBERNETES,
  deletionTimestamp: KUBERNETES,
  finalizers: KUBERNETES,
  generateName: KUBERNETES,
  generation: KUBERNETES,
  managedFields: KUBERNETES,
  ownerReferences: KUBERNETES,
  resourceVersion: KUBERNETES,
  selfLink: KUBERNETES,
  uid: KUBERNETES,
} as const;

export const NAME = {kind: 'text', minCharacters: 1, maxCharacters: 253} as const;

export const NAMESPACED_METADATA = {
  kind: 'object',
  fields: {
    name: {shape: NAME, required: true, doc: "The object's name: a DNS subdomain."},
    namespace: {
      shape: {kind: 'text', minCharacters: 1, maxCharacters: 63},
      required: true,
      doc: 'The namespace whose pods it selects from.',
    },
    ...ignored,
  },
} as const satisfies ObjectShape;

export const CLUSTER_METADATA = {
  kind: 'object',
  fields: {name: {shape: NAME, required: true, doc: "The object's name: a DNS subdomain."}, ...ignored},
} as const satisfies ObjectShape;

export const SELECTOR = {
  kind: 'object',
  fields: {
    matchLabels: {
      shape: {kind: 'map', of: text, maxEntries: MAX_MAP_ENTRIES},
      doc: 'Labels that must all be there with these values.',
      default: {},
    },
    matchExpressions: {
      shape: {
        kind: 'list',
        maxItems: MAX_MAP_ENTRIES,
        of: {
          kind: 'object',
          fields: {
            key: {shape: text, required: true, doc: "The label's key."},
            operator: {
              shape: {kind: 'text', oneOf: ['In', 'NotIn', 'Exists', 'DoesNotExist']},
              required: true,
              doc: 'How the value is compared. NotIn and DoesNotExist hold where the label is absent.',
            },
            values: {
              shape: {kind: 'list', of: text, maxItems: MAX_LIST_ITEMS},
              doc: 'The values of In and NotIn.',
              default: [],
            },
          },
        },
      },
      doc: 'Expressions that must all hold.',
      default: [],
    },
  },
} as const satisfies ObjectShape;
