/** A kind's shape as a structural schema (OpenAPI v3 as CustomResourceDefinitions take it), constraints included. */
import type {Field, ObjectShape, Shape} from '../../policy/index.ts';
import type {Constraint} from './constraints.ts';

export type Schema = Readonly<Record<string, unknown>>;

/** `constraints` by path, as constraints.ts writes them. A path that the shape does not have is an error: it would check nothing. */
export function structuralSchema(
  shape: Shape,
  constraints: Readonly<Record<string, Constraint>>,
  path: string,
): {readonly schema: Schema; readonly used: ReadonlySet<string>} {
  const used = new Set<string>();
  const schemaOf = (of: Shape, at: string): Schema => {
    const constraint = constraints[at];
    if (constraint !== undefined) used.add(at);
    const plain = plainSchema(of, at, schemaOf);
    return constraint === undefined ? plain : {...plain, ...constrained(constraint)};
  };
  return {schema: schemaOf(shape, path), used};
}

type Recurse = (shape: Shape, path: string) => Schema;

function plainSchema(shape: Shape, path: string, schemaOf: Recurse): Schema {
  switch (shape.kind) {
    case 'text':
      return {
        type: 'string',
        ...(shape.oneOf === undefined ? {} : {enum: shape.oneOf}),
        ...(shape.minCharacters === undefined ? {} : {minLength: shape.minCharacters}),
        ...(shape.maxCharacters === undefined ? {} : {maxLength: shape.maxCharacters}),
      };
    case 'integer':
      return {type: 'integer', minimum: shape.from, maximum: shape.to};
    case 'port':
      return {'x-kubernetes-int-or-string': true};
    case 'list':
      return {
        type: 'array',
        ...(shape.minItems === undefined ? {} : {minItems: shape.minItems}),
        maxItems: shape.maxItems,
        items: schemaOf(shape.of, `${path}[]`),
      };
    case 'map':
      return {
        type: 'object',
        maxProperties: shape.maxEntries,
        additionalProperties: {
          ...schemaOf(shape.of, `${path}{}`),
          ...(shape.nullable === true ? {nullable: true} : {}),
        },
      };
    case 'object':
      return objectSchema(shape, path, schemaOf);
    case 'any':
      return {'x-kubernetes-preserve-unknown-fields': true};
  }
}

/** No defaults are written: what the API server fills in is what GitOps tools see as drift. They are in the descriptions. */
function objectSchema({fields}: ObjectShape, path: string, schemaOf: Recurse): Schema {
  const entries = Object.entries(fields);
  const required = entries.filter(([, field]) => field.required === true).map(([name]) => name);
  return {
    type: 'object',
    ...(required.length === 0 ? {} : {required}),
    properties: Object.fromEntries(
      entries.map(([name, field]) => [
        name,
        {description: describe(field), ...schemaOf(field.shape, `${path}.${name}`)},
      ]),
    ),
  };
}

function describe({doc, default: written}: Field): string {
  if (written === undefined) return doc;
  return `${doc} Default: ${typeof written === 'string' ? written : JSON.stringify(written)}.`;
}

function constrained(constraint: Constraint): Schema {
  const {validations, listKey, set, ...plain} = constraint;
  return {
    ...plain,
    ...(listKey === undefined ? {} : {'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': [listKey]}),
    ...(set === true ? {'x-kubernetes-list-type': 'set'} : {}),
    ...(validations === undefined ? {} : {'x-kubernetes-validations': validations}),
  };
}
