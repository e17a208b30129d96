/** The CustomResourceDefinitions, from the same description as the file schema. */
import {stringify} from 'yaml';
import {KINDS, type Kind} from '../../policy/index.ts';
import {CONSTRAINTS} from './constraints.ts';
import {structuralSchema, type Schema} from './structural.ts';

interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly description: string;
  readonly jsonPath: string;
  /** Above 0: only with -o wide. */
  readonly priority?: number;
}

const condition = (type: string, description: string): Column => ({
  name: type,
  type: 'string',
  description,
  jsonPath: `.status.conditions[?(@.type=="${type}")].status`,
});
const AGE: Column = {name: 'Age', type: 'date', description: 'Since when.', jsonPath: '.metadata.creationTimestamp'};
const REASON: Column = {
  name: 'Reason',
  type: 'string',
  description: 'Why it is not accepted, or not enforced.',
  jsonPath: '.status.conditions[?(@.status=="False")].reason',
  priority: 1,
};

const POLICY_COLUMNS: readonly Column[] = [
  {name: 'Mode', type: 'string', description: 'Enforce (where empty) or Audit.', jsonPath: '.spec.mode'},
  condition('Accepted', 'Whether it could be loaded.'),
  condition('Enforced', 'Whether every pod that it selects is held to it.'),
  {name: 'Pods', type: 'integer', description: 'How many pods it selects.', jsonPath: '.status.pods'},
  AGE,
  REASON,
];

interface Naming {
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly scope: 'Namespaced' | 'Cluster';
  readonly columns: readonly Column[];
}

const NAMING: Readonly<Record<Kind, Naming>> = {
  EgressPolicy: {plural: 'egresspolicies', shortNames: ['egp'], scope: 'Namespaced', columns: POLICY_COLUMNS},
  ClusterEgressPolicy: {
    plural: 'clusteregresspolicies',
    shortNames: ['cegp'],
    scope: 'Cluster',
    columns: POLICY_COLUMNS,
  },
  UpstreamProxy: {
    plural: 'upstreamproxies',
    shortNames: ['upx'],
    scope: 'Cluster',
    columns: [
      {name: 'Endpoint', type: 'string', description: 'The first of them.', jsonPath: '.spec.endpoints[0].url'},
      condition('Accepted', 'Whether it could be loaded, and what it refers to is there.'),
      AGE,
      REASON,
    ],
  },
};

const text = {type: 'string'} as const;

/** As Kubernetes' own metav1.Condition. */
const CONDITION: Schema = {
  type: 'object',
  required: ['type', 'status', 'reason', 'message', 'lastTransitionTime'],
  properties: {
    type: text,
    status: {type: 'string', enum: ['True', 'False', 'Unknown']},
    reason: {type: 'string', minLength: 1, maxLength: 1024},
    message: {type: 'string', maxLength: 32768},
    observedGeneration: {type: 'integer', format: 'int64'},
    lastTransitionTime: {type: 'string', format: 'date-time'},
  },
};

const STATUS: Schema = {
  type: 'object',
  description: 'Written by the controller.',
  properties: {
    conditions: {
      type: 'array',
      items: CONDITION,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    },
    pods: {type: 'integer', description: 'How many pods it selects.'},
  },
};

/** One kind's CustomResourceDefinition as a plain object. */
export function customResourceDefinition(kind: Kind): Schema {
  const {plural, shortNames, scope, columns} = NAMING[kind];
  const {doc, shape} = KINDS[kind];
  const {schema, used} = structuralSchema(shape.fields.spec.shape, CONSTRAINTS[kind], 'spec');
  const lost = Object.keys(CONSTRAINTS[kind]).filter((path) => !used.has(path) && applies(kind, path));
  if (lost.length > 0) throw new Error(`constraints on what ${kind} does not have: ${lost.join(', ')}`);
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {name: `${plural}.sallyport.dev`},
    spec: {
      group: 'sallyport.dev',
      scope,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames,
        categories: ['sallyport'],
      },
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          subresources: {status: {}},
          additionalPrinterColumns: columns,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description: doc,
              required: ['spec'],
              properties: {
                apiVersion: text,
                kind: text,
                metadata: {type: 'object'},
                spec: {description: shape.fields.spec.doc, ...schema},
                status: STATUS,
              },
            },
          },
        },
      ],
    },
  };
}

/** namespaceSelector is written once for both policies and belongs to one. */
const applies = (kind: Kind, path: string): boolean =>
  kind === 'ClusterEgressPolicy' || !path.startsWith('spec.namespaceSelector');

/** As it is checked in under charts/sallyport/crds. */
export const definitionText = (kind: Kind): string =>
  stringify(customResourceDefinition(kind), {lineWidth: 0, aliasDuplicateObjects: false});
