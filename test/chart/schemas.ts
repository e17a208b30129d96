/** JSON schemas for kubeconform from the API server's own OpenAPI document, custom resources included: no network, and this version. */
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';

type Schema = Readonly<Record<string, unknown>>;
interface Definition extends Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly 'x-kubernetes-group-version-kind'?: readonly {group: string; version: string; kind: string}[];
}

/** Where kubeconform looks, as --schema-location: files as writeSchemas names them. */
export const schemaLocation = (dir: string): string => join(dir, '{{.ResourceKind}}{{.KindSuffix}}.json');

/** Writes one closed schema a kind into `dir`; how many. `openapi`: of /openapi/v2. */
export function writeSchemas(openapi: string, dir: string): number {
  const {definitions} = JSON.parse(openapi) as {definitions: Readonly<Record<string, Definition>>};
  let count = 0;
  for (const definition of Object.values(definitions))
    for (const {group, version, kind} of definition['x-kubernetes-group-version-kind'] ?? []) {
      if (definition.properties?.['apiVersion'] === undefined) continue;
      const closedTop = closed(definition) as {properties: Schema};
      const used = new Set<string>();
      collect(definition, definitions, used);
      const schema = {
        ...closedTop,
        type: 'object',
        properties: {...closedTop.properties, apiVersion: {type: 'string'}, kind: {const: kind}},
        definitions: Object.fromEntries([...used].map((name) => [name, closed(definitions[name]!)])),
      };
      const parts = [kind.toLowerCase(), ...(group === '' ? [] : [group.split('.')[0]!]), version];
      writeFileSync(join(dir, `${parts.join('-')}.json`), JSON.stringify(schema));
      count++;
    }
  return count;
}

/** Unknown fields are mistakes; null is how a manifest leaves a field out. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== 'object' || value === null) return value;
  const schema = value as Definition;
  if (schema['format'] === 'int-or-string' || schema['x-kubernetes-int-or-string'] === true)
    return {type: ['string', 'integer', 'null']};
  const out: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(schema)) {
    if (key === 'description' || key === 'format') continue;
    if (key === 'properties')
      out[key] = Object.fromEntries(Object.entries(inner as Schema).map(([name, of]) => [name, closed(of)]));
    else out[key] = closed(inner);
  }
  const open = schema['additionalProperties'] !== undefined || schema['x-kubernetes-preserve-unknown-fields'] === true;
  if (schema.properties !== undefined && !open) out['additionalProperties'] = false;
  if (typeof out['type'] === 'string') out['type'] = [out['type'], 'null'];
  return out;
}

const REFERENCE = '#/definitions/';

function collect(value: unknown, definitions: Readonly<Record<string, Definition>>, into: Set<string>): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (key !== '$ref' || typeof inner !== 'string') collect(inner, definitions, into);
    else {
      const name = inner.slice(REFERENCE.length);
      if (into.has(name)) continue;
      into.add(name);
      collect(definitions[name], definitions, into);
    }
  }
}
