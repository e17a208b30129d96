/** JSON Schema (draft 2020-12) from our own description, for editors and for whoever writes policies by program. */
import {ALL_KINDS, type AnyKind} from './kinds.ts';
import type {Field, Shape} from './shape.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

const ID = 'https://sallyport.dev/schema/v1alpha1';

/** One kind's schema. What one value cannot show (syntax of hosts, globs and conditions) is left to `sallyport check`. */
export function jsonSchemaOf(kind: AnyKind): JsonSchema {
  const {doc, shape} = ALL_KINDS[kind];
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: `${ID}/${kind}.json`,
    title: kind,
    description: doc,
    ...schemaOf(shape),
  };
}

function schemaOf(shape: Shape): JsonSchema {
  switch (shape.kind) {
    case 'text':
      return {
        type: 'string',
        ...(shape.oneOf === undefined ? {} : shape.oneOf.length === 1 ? {const: shape.oneOf[0]} : {enum: shape.oneOf}),
        ...(shape.minCharacters === undefined ? {} : {minLength: shape.minCharacters}),
        ...(shape.maxCharacters === undefined ? {} : {maxLength: shape.maxCharacters}),
      };
    case 'integer':
      return {type: 'integer', minimum: shape.from, maximum: shape.to};
    case 'port':
      return {
        anyOf: [
          {type: 'integer', minimum: 1, maximum: 65535},
          {type: 'string', pattern: '^[0-9]{1,5}(-[0-9]{1,5})?$'},
        ],
      };
    case 'list':
      return {
        type: 'array',
        ...(shape.minItems === undefined ? {} : {minItems: shape.minItems}),
        maxItems: shape.maxItems,
        items: schemaOf(shape.of),
      };
    case 'map': {
      const value = schemaOf(shape.of);
      return {
        type: 'object',
        maxProperties: shape.maxEntries,
        additionalProperties: shape.nullable === true ? {anyOf: [value, {type: 'null'}]} : value,
      };
    }
    case 'object':
      return {
        type: 'object',
        additionalProperties: false,
        ...requiredOf(shape.fields),
        properties: Object.fromEntries(
          Object.entries(shape.fields).map(([name, field]) => [name, {...described(field), ...schemaOf(field.shape)}]),
        ),
      };
    case 'any':
      return {};
  }
}

function requiredOf(fields: Readonly<Record<string, Field>>): JsonSchema {
  const required = Object.entries(fields)
    .filter(([, field]) => field.required)
    .map(([name]) => name);
  return required.length === 0 ? {} : {required};
}

/** A default that is a value is one; a default in words belongs to the description. */
function described(field: Field): JsonSchema {
  if (field.default === undefined) return {description: field.doc};
  const inWords =
    typeof field.default === 'string' && !(field.shape.kind === 'text' && field.shape.oneOf?.includes(field.default));
  return inWords
    ? {description: `${field.doc} Default: ${field.default}.`}
    : {description: field.doc, default: field.default};
}

/** The file as it is checked in under docs/schema. */
export const jsonSchemaText = (kind: AnyKind): string => `${JSON.stringify(jsonSchemaOf(kind), null, 2)}\n`;
