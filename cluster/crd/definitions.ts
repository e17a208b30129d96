/** The CustomResourceDefinitions, from the same description as the file schema. */
import {stringify} from 'yaml';
import {ALL_KINDS, type AnyKind} from '../../policy/index.ts';
import {CONSTRAINTS} from './constraints.ts';
import {EGRESS_NODE} from './egress-node.ts';
import {AGE, definitionOf, type Column, type Resource} from './resource.ts';
import {conditionColumn, POLICY_STATUS, reasonColumn, STATUS} from './status.ts';
import {structuralSchema, type Schema} from './structural.ts';

const REASON = reasonColumn('Accepted', 'Reason', 'Why it is not accepted.');

const POLICY_COLUMNS: readonly Column[] = [
  {name: 'Mode', type: 'string', description: 'Enforce (where empty) or Audit.', jsonPath: '.spec.mode'},
  conditionColumn('Accepted', 'Whether it could be loaded.'),
  conditionColumn('Enforced', 'Whether every pod that it selects is held to it.'),
  {
    name: 'Pods',
    type: 'string',
    description: 'Held to it, of those that it selects.',
    jsonPath: '.status.pods.summary',
  },
  AGE,
  REASON,
  reasonColumn('Enforced', 'Enforcement', 'Why it is enforced, or not.'),
];

type Naming = Pick<Resource, 'plural' | 'shortNames' | 'scope' | 'columns' | 'status'>;

const NAMING: Readonly<Record<AnyKind, Naming>> = {
  EgressPolicy: {
    plural: 'egresspolicies',
    shortNames: ['egp'],
    scope: 'Namespaced',
    columns: POLICY_COLUMNS,
    status: POLICY_STATUS,
  },
  ClusterEgressPolicy: {
    plural: 'clusteregresspolicies',
    shortNames: ['cegp'],
    scope: 'Cluster',
    columns: POLICY_COLUMNS,
    status: POLICY_STATUS,
  },
  MeshEgress: {
    plural: 'meshegresses',
    shortNames: ['mesheg'],
    scope: 'Cluster',
    columns: [
      {
        name: 'Outbound',
        type: 'string',
        description: 'RegistryOnly (where empty) or AllowAny.',
        jsonPath: '.spec.outboundTrafficPolicy',
      },
      conditionColumn('Accepted', 'Whether mesh-config can make objects of it.'),
      AGE,
      REASON,
    ],
    status: STATUS,
  },
  UpstreamProxy: {
    plural: 'upstreamproxies',
    shortNames: ['upx'],
    scope: 'Cluster',
    columns: [
      {name: 'Endpoint', type: 'string', description: 'The first of them.', jsonPath: '.spec.endpoints[0].url'},
      conditionColumn('Accepted', 'Whether it could be loaded.'),
      conditionColumn('Resolved', 'Whether what it refers to is there.'),
      AGE,
      REASON,
    ],
    status: STATUS,
  },
};

/** One kind's CustomResourceDefinition as a plain object. */
export function customResourceDefinition(kind: AnyKind): Schema {
  const {doc, shape} = ALL_KINDS[kind];
  const {schema, used} = structuralSchema(shape.fields.spec.shape, CONSTRAINTS[kind], 'spec');
  const lost = Object.keys(CONSTRAINTS[kind]).filter((path) => !used.has(path) && applies(kind, path));
  if (lost.length > 0) throw new Error(`constraints on what ${kind} does not have: ${lost.join(', ')}`);
  const {status, ...naming} = NAMING[kind];
  return definitionOf({...naming, kind, doc, spec: {description: shape.fields.spec.doc, ...schema}, status});
}

/** namespaceSelector is written once for both policies and belongs to one. */
const applies = (kind: AnyKind, path: string): boolean =>
  kind === 'ClusterEgressPolicy' || !path.startsWith('spec.namespaceSelector');

/** Every kind's definition, by its file's name under charts/sallyport/crds, as it is checked in there. */
export function definitionTexts(): ReadonlyMap<string, string> {
  const kinds = Object.keys(ALL_KINDS) as AnyKind[];
  const all = [
    ...kinds.map((kind) => [kind, customResourceDefinition(kind)] as const),
    ['EgressNode', EGRESS_NODE] as const,
  ];
  return new Map(
    all.map(([kind, definition]) => [
      `${kind.toLowerCase()}.yaml`,
      stringify(definition, {lineWidth: 0, aliasDuplicateObjects: false}),
    ]),
  );
}
