/** What all our CustomResourceDefinitions share. */
import type {Schema} from './structural.ts';

export interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'boolean' | 'date';
  readonly description: string;
  readonly jsonPath: string;
  /** Above 0: only with -o wide. */
  readonly priority?: number;
}

export interface Resource {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly scope: 'Namespaced' | 'Cluster';
  readonly columns: readonly Column[];
  readonly doc: string;
  /** null: nobody writes any. */
  readonly spec: Schema | null;
  readonly status: Schema;
}

export const text = {type: 'string'} as const;
export const AGE: Column = {
  name: 'Age',
  type: 'date',
  description: 'Since when.',
  jsonPath: '.metadata.creationTimestamp',
};

/** One kind's CustomResourceDefinition as a plain object. */
export function definitionOf({kind, plural, shortNames, scope, columns, doc, spec, status}: Resource): Schema {
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
              ...(spec === null ? {} : {required: ['spec']}),
              properties: {
                apiVersion: text,
                kind: text,
                metadata: {type: 'object'},
                ...(spec === null ? {} : {spec}),
                status,
              },
            },
          },
        },
      ],
    },
  };
}
